// `/docs`: Swagger UI reads the gateway's own OpenAPI document, and asks nobody else for anything.
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";

SwaggerUI({ url: new URL("openapi.json", new URL("..", document.baseURI)).href, dom_id: "#reference", deepLinking: true });
