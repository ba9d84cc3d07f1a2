import './styles.css'
import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { isUnauthenticated, sessionQuery } from './api/api.ts'
import { Toasts } from './design/design.ts'
import { createPages } from './routes.tsx'
import { PauseProvider, PreferencesProvider } from './shell/shell.tsx'

const queries: QueryClient = new QueryClient({
  defaultOptions: {
    // The client repeats by itself, and a server on this machine answers without a network.
    queries: { retry: false, networkMode: 'always', refetchOnWindowFocus: true },
    mutations: { retry: false, networkMode: 'always' },
  },
  queryCache: new QueryCache({
    // A session that ended while the page lay open: ask again who is there, which leads to the sign-in page.
    onError: (error) => {
      if (!isUnauthenticated(error) || queries.getQueryData(sessionQuery.queryKey) === null) return
      queries.setQueryData(sessionQuery.queryKey, null)
      void pages.invalidate()
    },
  }),
})
const pages = createPages(queries)

const host = document.getElementById('root')
if (!host) throw new Error('The page has no element "root".')
createRoot(host).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <PreferencesProvider>
        <PauseProvider>
          <Toasts>
            <RouterProvider router={pages} />
          </Toasts>
        </PauseProvider>
      </PreferencesProvider>
    </QueryClientProvider>
  </StrictMode>,
)
