// A button to copy with, on each example.
for (const caption of document.querySelectorAll("figcaption")) {
  const button = document.createElement("button");
  const code = caption.parentElement.querySelector("code");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy the example for ${caption.textContent}`);
  button.addEventListener("click", () => copy(code).then(() => tell(button)));
  caption.append(button);
}

async function copy(code) {
  if (navigator.clipboard) return navigator.clipboard.writeText(code.textContent);
  getSelection().selectAllChildren(code); // a page that did not come over HTTPS has only the old way
  document.execCommand("copy");
}

function tell(button) {
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1600);
}
