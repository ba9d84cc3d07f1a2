import { createContext, type ReactNode, useContext, useMemo, useState } from 'react'
import { Button } from '../design/design.ts'

interface Pause {
  readonly paused: boolean
  readonly toggle: () => void
}

const PauseContext = createContext<Pause>({ paused: false, toggle: () => {} })

/** Whether the reader stopped everything that moves. It holds across pages. */
export function usePause(): Pause {
  return useContext(PauseContext)
}

/** How often to ask again, for `refetchInterval`: never while paused. Hidden pages do not ask at all. */
export function useLiveInterval(everyMs: number): number | false {
  return usePause().paused ? false : everyMs
}

/** Holds the pause. */
export function PauseProvider({ children }: { children: ReactNode }) {
  const [paused, setPaused] = useState(false)
  const value = useMemo(() => ({ paused, toggle: () => setPaused((held) => !held) }), [paused])
  return <PauseContext value={value}>{children}</PauseContext>
}

/** One button for everything that moves on the page. */
export function PauseButton() {
  const { paused, toggle } = usePause()
  return (
    <Button
      icon={paused ? 'play' : 'pause'}
      onClick={toggle}
      aria-pressed={paused}
      title="Pause or resume live updates (Space)"
    >
      {paused ? 'Resume' : 'Pause'}
    </Button>
  )
}
