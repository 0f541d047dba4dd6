/* Writes moments in the reader's own zone; the server wrote them in UTC. */

const DAY = { day: "numeric", month: "long", year: "numeric" };
const dayFormat = new Intl.DateTimeFormat("en-GB", DAY);
const momentFormat = new Intl.DateTimeFormat("en-GB", {
  ...DAY,
  hour: "2-digit",
  minute: "2-digit",
  timeZoneName: "short",
});

for (const element of document.querySelectorAll("time[datetime]")) {
  element.title = element.textContent;
  const format = "day" in element.dataset ? dayFormat : momentFormat;
  element.textContent = format.format(new Date(element.dateTime)).replace(" at ", ", ");
}
