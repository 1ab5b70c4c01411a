import { render } from "preact";
import { told } from "./api.ts";
import { App } from "./app.tsx";
import { notice, restore } from "./chat.ts";
import { discover } from "./endpoints.ts";
import { refreshHistory } from "./history.ts";
import { watchReadiness, watchStats } from "./stats.ts";
import "./style.css";

function tell(error: unknown): void {
  notice.value = told(error);
}

const page = document.getElementById("page");
if (page) render(<App />, page);
restore().catch(tell);
discover().catch(tell);
void refreshHistory();
void watchReadiness();
watchStats();
