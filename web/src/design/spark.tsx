/** A line without axes, for the side of a figure; decoration, the figure says it. Nulls are left out. */
export function Spark({
  values,
  width = 96,
  height = 24,
}: {
  values: readonly (number | null)[]
  width?: number
  height?: number
}) {
  const known = values.filter((value) => value !== null)
  const most = Math.max(...known, 0)
  if (known.length < 2 || most === 0) return null
  const points = known.map((value, index) => {
    const x = (index / (known.length - 1)) * (width - 2) + 1
    const y = height - 2 - (value / most) * (height - 4)
    return `${x.toFixed(1)},${y.toFixed(1)}`
  })
  return (
    <svg aria-hidden="true" width={width} height={height} className="shrink-0 text-accent">
      <polyline
        points={points.join(' ')}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
        strokeLinejoin="round"
      />
    </svg>
  )
}
