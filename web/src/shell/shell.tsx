import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router'
import { lazy, Suspense, useEffect, useRef, useState } from 'react'
import { part } from '../api/part.ts'
import { Button, classNames, Icon, Menu, TimesContext } from '../design/design.ts'
import { AccountMenu } from './account-menu.tsx'
import { ConnectionBadge } from './connection.tsx'
import { moveRow, useShortcuts } from './keyboard.ts'
import { pages } from './pages.ts'
import { usePause } from './pause.tsx'
import { usePreferences } from './preferences.tsx'

export { PageTitle } from './page-title.tsx'
export { PauseButton, PauseProvider, useLiveInterval, usePause } from './pause.tsx'
export { PreferencesProvider, usePreferences } from './preferences.tsx'

const Palette = lazy(part(async () => ({ default: (await import('./palette.tsx')).Palette })))
const Help = lazy(part(async () => ({ default: (await import('./help.tsx')).Help })))

/** The name of the product, with its mark. */
export function Mark() {
  return (
    <span className="inline-flex items-center gap-2 text-lg font-semibold tracking-tight">
      <svg aria-hidden="true" viewBox="0 0 32 32" width="22" height="22">
        <rect width="32" height="32" rx="7" className="fill-accent" />
        <path
          d="M5 17h6l3-9 5 16 3-7h5"
          fill="none"
          className="stroke-on-accent"
          strokeWidth="2.5"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      </svg>
      Pulse
    </span>
  )
}

const tab =
  'flex min-h-14 w-full flex-col items-center justify-center gap-1 text-center text-xs font-medium aria-[current=page]:forced-colors:underline'

/** The pages that a phone's bar has no room for. */
function More() {
  const navigate = useNavigate()
  const path = useRouterState({ select: (state) => state.location.pathname })
  const further = pages.filter((page) => page.further)
  const isHere = further.some((page) => path.startsWith(page.to))
  return (
    <Menu
      trigger={(props) => (
        <button
          type="button"
          {...props}
          className={classNames(tab, isHere ? 'text-accent' : 'text-muted hover:text-ink')}
        >
          <Icon name="menu" size={18} />
          More
        </button>
      )}
      groups={[
        further.map(({ to, name, icon }) => ({
          kind: 'action',
          label: name,
          icon,
          act: () => void navigate({ to }),
        })),
      ]}
    />
  )
}

/** The pages: a column on wide screens, a rail on tablets, a bar at the bottom on phones. */
function Navigation({ place }: { place: 'side' | 'bottom' }) {
  const side = place === 'side'
  return (
    <nav
      aria-label="Pages"
      className={
        side ? 'mt-6' : 'fixed inset-x-0 bottom-0 z-20 border-t border-hairline bg-surface md:hidden'
      }
    >
      <ul className={side ? 'flex flex-col gap-1 lg:gap-0.5' : 'grid grid-cols-5'}>
        {(side ? pages : pages.filter(({ further }) => !further)).map((page) => (
          <li key={page.to}>
            <Link
              to={page.to}
              activeOptions={{ exact: page.to === '/', includeSearch: false }}
              activeProps={{
                'aria-current': 'page',
                className: side ? 'bg-accent-soft text-accent' : 'text-accent',
              }}
              inactiveProps={{ className: 'text-muted hover:text-ink' }}
              className={classNames(
                tab,
                side &&
                  'rounded-md hover:bg-hover lg:min-h-9 lg:flex-row lg:justify-start lg:gap-2.5 lg:px-2.5 lg:text-base',
              )}
            >
              <Icon name={page.icon} size={18} />
              {page.name}
            </Link>
          </li>
        ))}
        {!side && (
          <li>
            <More />
          </li>
        )}
      </ul>
    </nav>
  )
}

function Tools({ onPalette, onHelp }: { onPalette: () => void; onHelp: () => void }) {
  return (
    <div className="flex items-center gap-1">
      <Button look="quiet" icon="search" iconOnly onClick={onPalette} title="Go to (Ctrl K)">
        Go to
      </Button>
      <AccountMenu onHelp={onHelp} />
    </div>
  )
}

/** Moves the focus to the new page, so that a screen reader reads it and Tab starts there. */
function useFocusOnNavigation() {
  const main = useRef<HTMLElement>(null)
  const path = useRouterState({ select: (state) => state.location.pathname })
  const seen = useRef(path)
  useEffect(() => {
    if (seen.current === path) return
    seen.current = path
    main.current?.focus({ preventScroll: true })
  }, [path])
  return main
}

function useKeys(open: (what: 'palette' | 'help') => void) {
  const navigate = useNavigate()
  const [preferences] = usePreferences()
  const { toggle } = usePause()
  const search = async () => {
    const field = () => document.querySelector<HTMLElement>('[data-search]')
    // At once where there is one: what is typed before the next frame belongs into it.
    if (field()) return field()?.focus()
    // Where a page has nothing to search, the events have.
    await navigate({ to: '/events', search: (held) => held })
    requestAnimationFrame(() => field()?.focus())
  }
  const goTo = Object.fromEntries(
    pages.map((page) => [`g ${page.key}`, () => void navigate({ to: page.to })]),
  )
  const keys = {
    ...goTo,
    '/': () => void search(),
    '?': () => open('help'),
    ' ': toggle,
    j: () => moveRow(1),
    k: () => moveRow(-1),
  }
  useShortcuts(keys, preferences.shortcuts)
  const opening = useRef(open)
  opening.current = open
  useEffect(() => {
    const press = (pressed: KeyboardEvent) => {
      if (!(pressed.ctrlKey || pressed.metaKey) || pressed.key.toLowerCase() !== 'k') return
      pressed.preventDefault()
      opening.current('palette')
    }
    window.addEventListener('keydown', press)
    return () => window.removeEventListener('keydown', press)
  }, [])
}

/** What stands around every page of somebody who is signed in. */
export function Shell() {
  const [opened, setOpened] = useState<'palette' | 'help' | null>(null)
  const [preferences] = usePreferences()
  const main = useFocusOnNavigation()
  useKeys(setOpened)
  const close = () => setOpened(null)
  const tools = <Tools onPalette={() => setOpened('palette')} onHelp={() => setOpened('help')} />
  return (
    <TimesContext value={preferences.times}>
      <a
        href="#main"
        className="sr-only rounded-md bg-accent px-4 py-2 text-on-accent focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50"
      >
        Skip to the content
      </a>
      <div className="md:grid md:min-h-dvh md:grid-cols-[6.5rem_minmax(0,1fr)] lg:grid-cols-[12.5rem_minmax(0,1fr)]">
        <header className="hidden border-r border-hairline md:block">
          <div className="sticky top-0 z-10 flex h-dvh flex-col px-2 py-4 lg:px-3">
            <Link to="/" className="self-center rounded-md lg:self-start lg:px-2.5">
              <Mark />
            </Link>
            <Navigation place="side" />
            <div className="mt-auto flex flex-col items-center justify-between gap-2 lg:flex-row lg:flex-wrap lg:pl-2.5">
              <ConnectionBadge />
              {tools}
            </div>
          </div>
        </header>
        <header className="sticky top-0 z-20 flex min-h-13 items-center justify-between gap-3 border-b border-hairline bg-canvas px-4 md:hidden">
          <Link to="/">
            <Mark />
          </Link>
          <div className="flex items-center gap-2">
            <ConnectionBadge />
            {tools}
          </div>
        </header>
        <main
          id="main"
          ref={main}
          tabIndex={-1}
          className="mx-auto w-full max-w-[88rem] min-w-0 px-4 pt-5 pb-24 outline-none md:px-7 md:py-7"
        >
          <Outlet />
        </main>
      </div>
      <Navigation place="bottom" />
      <Suspense>
        {opened === 'palette' && <Palette onClose={close} />}
        {opened === 'help' && <Help onClose={close} />}
      </Suspense>
    </TimesContext>
  )
}
