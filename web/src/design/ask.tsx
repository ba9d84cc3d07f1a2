import { Button } from './button.tsx'

/** A question in the place of the buttons that led to it. */
export function Ask({
  text,
  yes,
  busy,
  danger,
  onYes,
  onNo,
}: {
  text: string
  yes: string
  busy: boolean
  danger: boolean
  onYes: () => void
  onNo: () => void
}) {
  return (
    <div className="flex flex-wrap items-center gap-2">
      <p className="min-w-0 flex-1 basis-60 text-sm">{text}</p>
      <div className="ml-auto flex gap-2">
        <Button look="quiet" onClick={onNo} disabled={busy}>
          Cancel
        </Button>
        {/* The button that was pressed is gone; the focus goes on to its successor. */}
        <Button look={danger ? 'danger' : 'primary'} icon="check" busy={busy} onClick={onYes} autoFocus>
          {yes}
        </Button>
      </div>
    </div>
  )
}
