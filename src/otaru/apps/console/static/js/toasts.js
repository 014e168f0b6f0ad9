// Says what went wrong with a part of the page; the rest of the page stays as it is.

export function toast(words) {
  const note = document.createElement("p");
  note.className = "toast";
  note.textContent = words;
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 8000);
}

document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  toast(xhr.responseText.length < 500 ? xhr.responseText : `The server answered ${xhr.status}.`);
});
