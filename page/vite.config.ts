import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // wherever the gateway, or a proxy before it, serves the page
  build: {
    outDir: "../adapters/web/chat",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the policy of the page takes no data: but small pictures
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.md" }, // the notices of what is bundled, beside it
    target: "es2022",
    chunkSizeWarningLimit: 2000, // kB: Swagger UI, which only `/docs` loads
    rollupOptions: { input: ["index.html", "docs.html"] },
  },
});
