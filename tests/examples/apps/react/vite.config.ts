import { defineConfig } from "vite";

// No plugin: React's JSX is what esbuild makes of it, and this example needs no hot reload.
export default defineConfig({ esbuild: { jsx: "automatic" } });
