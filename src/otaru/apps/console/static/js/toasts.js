// Says what went wrong with a part of the page; the rest of the page stays as it is.

export function toast(words) {
  const box = document.getElementById("toasts");
  if ([...box.children].some((shown) => shown.textContent === words)) return;
  const note = document.createElement("p");
  note.className = "toast";
  note.textContent = words;
  box.append(note);
  setTimeout(() => note.remove(), 8000);
}

document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  toast(xhr.responseText.length < 500 ? xhr.responseText : `The server answered ${xhr.status}.`);
});

// Nobody answered: what the page foretold may no longer hold. A form says so where it has words for that.
function unanswered(event) {
  toast("The server does not answer.");
  const words = event.target.querySelector?.("template[data-unanswered]");
  if (words) document.getElementById(words.dataset.unanswered).replaceChildren(words.content.cloneNode(true));
}

document.addEventListener("htmx:sendError", unanswered);
document.addEventListener("htmx:timeout", unanswered);
