/* Files as people bring them: dropped, in folders, or pasted. */

const READ_ALL = (reader) =>
  new Promise((resolve, reject) => {
    const found = [];
    const more = () =>
      reader.readEntries((entries) => {
        if (entries.length === 0) resolve(found);
        else {
          found.push(...entries); // a browser gives at most a hundred at a time
          more();
        }
      }, reject);
    more();
  });

const filesOfEntry = async (entry) => {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const entries = await READ_ALL(entry.createReader());
  return (await Promise.all(entries.map(filesOfEntry))).flat();
};

/** Return the files of a drop, also those in folders; systems' own hidden files are left out. */
export const dropped = async (transfer) => {
  // Both lists are gone once this function first waits.
  const files = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return files;
  return visible((await Promise.all(entries.map(filesOfEntry))).flat());
};

/** Return the files among what was pasted; a screenshot has a made-up name. */
export const pasted = (transfer) => [...(transfer?.files ?? [])];

/** Return files without those that systems hide. */
export const visible = (files) => files.filter((file) => !file.name.startsWith("."));
