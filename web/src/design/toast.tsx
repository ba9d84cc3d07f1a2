import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from 'react'
import { Button } from './button.tsx'
import { Icon } from './icon.tsx'

interface Toast {
  readonly id: number
  readonly text: ReactNode
}

type Show = (text: ReactNode) => void

const ToastContext = createContext<Show>(() => {})

/** Says in passing that something was done. Never the only place where an error is shown. */
export function useToast(): Show {
  return useContext(ToastContext)
}

const shownMs = 6000

/** Holds the toasts of the pages inside it; the newest stands lowest, each goes after six seconds or when dismissed. */
export function Toasts({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly Toast[]>([])
  const next = useRef(0)
  const dismiss = useCallback(
    (id: number) => setToasts((held) => held.filter((toast) => toast.id !== id)),
    [],
  )
  const show = useCallback<Show>(
    (text) => {
      const id = next.current++
      setToasts((held) => [...held.slice(-2), { id, text }])
      setTimeout(() => dismiss(id), shownMs)
    },
    [dismiss],
  )
  const list = useMemo(() => toasts, [toasts])
  return (
    <ToastContext value={show}>
      {children}
      <div
        role="status"
        aria-live="polite"
        className="pointer-events-none fixed inset-x-4 bottom-20 z-40 flex flex-col items-end gap-2 md:bottom-6"
      >
        {list.map((toast) => (
          <div
            key={toast.id}
            className="pointer-events-auto flex max-w-sm items-center gap-2 rounded-md border border-hairline bg-raised py-1 pr-1 pl-3 text-sm shadow-over"
          >
            <Icon name="check" className="text-ok" />
            <span className="min-w-0 py-1.5">{toast.text}</span>
            <Button look="quiet" icon="cross" iconOnly onClick={() => dismiss(toast.id)}>
              Dismiss
            </Button>
          </div>
        ))}
      </div>
    </ToastContext>
  )
}
