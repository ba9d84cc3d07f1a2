import { type ReactNode, useEffect } from 'react'

/** The heading of a page, which is also the name of its tab. `children` stand at its right. */
export function PageTitle({
  name,
  heading,
  lead,
  children,
}: {
  name: string
  heading?: ReactNode
  lead?: ReactNode
  children?: ReactNode
}) {
  useEffect(() => {
    document.title = `${name} · Pulse`
  }, [name])
  return (
    <header className="mb-5 flex flex-wrap items-end justify-between gap-x-6 gap-y-3">
      <div className="min-w-0">
        <h1 className="text-xl font-semibold tracking-tight">{heading ?? name}</h1>
        {lead && <p className="mt-0.5 text-muted">{lead}</p>}
      </div>
      {children && <div className="flex flex-wrap items-center gap-2">{children}</div>}
    </header>
  )
}
