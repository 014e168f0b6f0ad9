// A new rollout: who judges follows the shape, canaries by evidence and plain waves by thresholds, until somebody chooses.

const form = document.querySelector(".wizard");
const proposed = (mode) => (mode === "adaptive" ? "sequential" : "classic");
let chosen = form.elements.judge.value !== proposed(form.elements.mode.value);

form.addEventListener("input", ({ target }) => {
  if (target.name === "judge") chosen = true;
  else if (target.name === "mode" && !chosen) form.elements.judge.value = proposed(target.value);
});
