import type { ReactNode } from 'react'
import { Button } from './button.tsx'
import { CopyButton } from './code.tsx'
import { Icon } from './icon.tsx'

/** What went wrong, as the server said it (RFC 9457) or as the browser did when no server answered. */
export interface FailureFacts {
  readonly title: string
  readonly detail: string
  readonly code?: string
  readonly requestId?: string
  readonly errors?: readonly { pointer: string; detail: string }[]
}

const asText = (facts: FailureFacts) =>
  [
    `${facts.title}${facts.code ? ` (${facts.code})` : ''}`,
    facts.detail,
    ...(facts.errors ?? []).map((error) => `${error.pointer}: ${error.detail}`),
    ...(facts.requestId ? [`request ${facts.requestId}`] : []),
  ].join('\n')

/** A failure in the place of what failed: title, detail, what to do, the request's id, and all of it to copy. */
export function Failure({
  facts,
  remedy,
  onRetry,
}: {
  facts: FailureFacts
  remedy?: ReactNode
  onRetry?: () => void
}) {
  return (
    <div role="alert" className="m-4 rounded-md border border-bad bg-bad-soft px-4 py-3">
      <p className="flex items-center gap-2 font-semibold text-bad">
        <Icon name="alert" />
        {facts.title}
      </p>
      <p className="mt-1">{facts.detail}</p>
      {facts.errors && facts.errors.length > 0 && (
        <ul className="mt-2 list-disc pl-5 text-sm">
          {facts.errors.map((error) => (
            <li key={`${error.pointer} ${error.detail}`}>
              {error.pointer && <code className="font-mono">{error.pointer}: </code>}
              {error.detail}
            </li>
          ))}
        </ul>
      )}
      {remedy && <div className="mt-2 text-muted">{remedy}</div>}
      <div className="mt-2 flex flex-wrap items-center gap-x-3 gap-y-1">
        {onRetry && (
          <Button icon="retry" onClick={onRetry}>
            Try again
          </Button>
        )}
        {facts.code && (
          <a href={`/docs/problems/${facts.code}`} className="text-sm underline">
            About {facts.code}
          </a>
        )}
        {facts.requestId && <code className="font-mono text-xs text-muted">request {facts.requestId}</code>}
        <CopyButton text={asText(facts)} what="details" worded />
      </div>
    </div>
  )
}
