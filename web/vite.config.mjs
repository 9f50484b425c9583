// Everything in one page, one script, one style sheet: nothing is loaded from elsewhere and nothing
// is inline, so that the server can send a strict Content-Security-Policy.
//
// To work on it: `npm ci`, then `SIGHTLINE_URL=http://127.0.0.1:8080 npm run dev` beside a running server, or beside
// tests/web/mock_server.mjs, which simulates one.
import { defineConfig } from 'vite';

const server = process.env.SIGHTLINE_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
  build: {
    target: 'es2022',
    // An inlined asset is a data: address, which the policy refuses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    outDir: 'dist',
    emptyOutDir: true,
    reportCompressedSize: false,
    sourcemap: false,
  },
  server: {
    host: '127.0.0.1',
    // The server takes connections from its own pages only: they come from here, in its name.
    proxy: { '/api': { target: server, ws: true, changeOrigin: true, headers: { Origin: server } } },
  },
});
