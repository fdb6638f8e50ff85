import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // The client is linked from this repository, where it has its own React for its tests.
  resolve: { dedupe: ["react"] },
});
