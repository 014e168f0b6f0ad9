// The forms of devices: rows of attributes grow as they are filled; a page that shows a token is not asked for twice.

document.addEventListener("input", (event) => {
  const rows = event.target.closest("[data-grows]");
  const last = rows?.lastElementChild;
  if (!last?.contains(event.target)) return;
  const next = last.cloneNode(true);
  next.classList.remove("field-wrong");
  next.querySelector(".wrong")?.remove();
  for (const field of next.querySelectorAll("input, textarea")) field.value = "";
  rows.append(next);
});

// Reloading an answer to a POST would post once more: for a new token, kill the one that is shown.
const leads = document.querySelector("[data-leaves]")?.dataset.leaves;
if (leads) history.replaceState(null, "", leads);
