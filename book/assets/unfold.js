// The theme makes what scrolls reachable by keyboard when the window changes its size; so here when something unfolds.
const changed = () => window.dispatchEvent(new Event("resize"));
document.addEventListener("toggle", changed, true);
document.addEventListener("click", (event) => event.target.closest(".toggle-button") && changed());
