/* Sends files to the server one by one, and says how far each is. */

const AT_ONCE = 3;

/** What the server answered in place of a result, in words. */
export class Refusal extends Error {}

const AWAY = "The connection broke. Check it and send the file again.";

const answerOf = (request) => {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return {};
  }
};

const post = (url, data, token, onProgress) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not say how much has been sent
    request.open("POST", url);
    request.setRequestHeader("X-CSRFToken", token);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress?.(event.loaded / event.total);
    });
    request.addEventListener("error", () => reject(new Refusal(AWAY)));
    request.addEventListener("load", () => {
      const answer = answerOf(request);
      if (request.status < 300 && request.responseURL.endsWith(url)) resolve(answer);
      else reject(new Refusal(answer.detail ?? "This was refused. Reload the page and try again."));
    });
    request.send(data);
  });

/** Begin an upload; returns the addresses that belong to it. */
export const begin = (url, modality, token) => {
  const data = new FormData();
  data.append("modality", modality);
  return post(url, data, token);
};

/**
 * Send files, a few at a time; one that is refused does not stop the others.
 *
 * @param report Called with a file's index and what is new: {share}, {result}, or {problem} where
 *   it did not arrive.
 */
export const sendAll = async (url, files, token, report) => {
  const waiting = files.entries();
  const sendNext = async () => {
    for (const [index, file] of waiting) {
      const data = new FormData();
      data.append("image", file, file.name);
      data.append("number", index + 1);
      if (files.length === 1) data.append("is_only", "yes");
      try {
        const result = await post(url, data, token, (share) => report(index, { share }));
        report(index, { result });
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        report(index, { problem: error.message });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sendNext));
};
