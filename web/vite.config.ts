import tailwind from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'
import { precompress } from './precompress.ts'

// `light-dark()` and `:has()` are used as they are: these are the first versions that know both.
const browsers = ['chrome123', 'edge123', 'firefox125', 'safari17.5']

export default defineConfig({
  base: '/ui/',
  plugins: [react(), tailwind(), precompress()],
  build: {
    target: browsers,
    cssTarget: browsers,
    // Assets are never inlined as data: addresses, so the page's content policy can stay at 'self'.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // The dashboard, and the pages that anybody may see: each of those is one small script without a framework.
      input: { index: 'index.html', names: 'names.html', sse: 'sse.html' },
      output: {
        codeSplitting: {
          groups: [
            // What every page needs, in two files: together they compress better, and the first stays in the
            // browser's cache when only pages have changed.
            { name: 'framework', test: /node_modules[\\/](react|react-dom|scheduler|@tanstack)[\\/]/ },
            {
              name: 'shared',
              test: /(web[\\/]src[\\/](design|api|shell|event-row)|client[\\/]src)[\\/](?!ask|webhooks|menu-content|tabs|field|sheet|palette|help|filters|streams|following|event-stream|clock|page\.)/,
            },
          ],
        },
      },
    },
  },
  // `npx vite` in this folder serves the pages; everything else goes to a server started with `npm start`.
  server: { proxy: { '^/(?!ui/)': 'http://127.0.0.1:8000' } },
})
