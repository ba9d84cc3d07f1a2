import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from 'react'

/** What a person chose for this browser. */
export interface Preferences {
  readonly theme: 'system' | 'light' | 'dark'
  /** Single keys act (`/`, `g o`, `j`); some assistive tools need them off (WCAG 2.1.4). */
  readonly shortcuts: boolean
  readonly times: 'age' | 'clock'
}

const defaults: Preferences = { theme: 'system', shortcuts: true, times: 'age' }
const storedUnder = 'pulse.preferences'

function read(): Preferences {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(storedUnder) ?? '{}')
    const { theme, shortcuts, times } = (stored ?? {}) as Record<string, unknown>
    return {
      theme: theme === 'light' || theme === 'dark' ? theme : defaults.theme,
      shortcuts: shortcuts !== false,
      times: times === 'clock' ? 'clock' : defaults.times,
    }
  } catch {
    return defaults
  }
}

type Change = (changes: Partial<Preferences>) => void

const PreferencesContext = createContext<readonly [Preferences, Change]>([defaults, () => {}])

/** The preferences and how to change them. */
export function usePreferences(): readonly [Preferences, Change] {
  return useContext(PreferencesContext)
}

/** Holds the preferences, keeps them in this browser and follows what another tab chooses. */
export function PreferencesProvider({ children }: { children: ReactNode }) {
  const [preferences, setPreferences] = useState(read)
  const change = useCallback<Change>((changes) => {
    setPreferences((held) => {
      const next = { ...held, ...changes }
      try {
        localStorage.setItem(storedUnder, JSON.stringify(next))
      } catch {
        // Storage may be blocked; the choice then lasts as long as the page.
      }
      return next
    })
  }, [])
  useEffect(() => {
    const root = document.documentElement
    if (preferences.theme === 'system') delete root.dataset.theme
    else root.dataset.theme = preferences.theme
  }, [preferences.theme])
  useEffect(() => {
    const follow = (stored: StorageEvent) => {
      if (stored.key === storedUnder) setPreferences(read())
    }
    window.addEventListener('storage', follow)
    return () => window.removeEventListener('storage', follow)
  }, [])
  const value = useMemo(() => [preferences, change] as const, [preferences, change])
  return <PreferencesContext value={value}>{children}</PreferencesContext>
}
