// `/docs`: Swagger UI reads the gateway's own OpenAPI document, and asks nobody else for anything.
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";

// Its dark colours are a class. Which ones are wanted is chosen in the chat page, and otherwise in the system.
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(): void {
  const chosen = localStorage.getItem("zephyr.theme");
  document.documentElement.classList.toggle("dark-mode", chosen === "dark" || (chosen !== "light" && dark.matches));
}

dark.addEventListener("change", colour);
colour();
SwaggerUI({ url: new URL("openapi.json", new URL("..", document.baseURI)).href, dom_id: "#reference", deepLinking: true });
