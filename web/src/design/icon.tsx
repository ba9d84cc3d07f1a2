const shapes = {
  overview: 'M3 12h4l2.5-7 4 14 2.5-7h5',
  events: 'M4 6h16M4 12h16M4 18h10',
  dead: 'M4 5h16v9h-5l-1.5 3h-3L9 14H4zM4 14v5h16v-5',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm5 12 4.5 4.5',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'm5 12.5 4.5 4.5L19 7',
  cross: 'M6 6l12 12M18 6 6 18',
  alert: 'M12 4 2.8 20h18.4zM12 10v4.5m0 2.6v.2',
  clock: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 7.5V12l3 2',
  retry: 'M20 12a8 8 0 1 1-2.5-5.8M20 3.5V8h-4.5',
  pause: 'M8.5 5v14M15.5 5v14',
  play: 'M7.5 5v14l11-7z',
  next: 'm9 5 7 7-7 7',
  first: 'M18 5l-7 7 7 7M6 5v14',
  menu: 'M5 12h.01M12 12h.01M19 12h.01',
  table: 'M4 5h16v14H4zM4 10h16M4 14.5h16M10 10v9',
  chart: 'M4 4v16h16M8 15l3.5-4 3 2.5L20 7',
  download: 'M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 20h14',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2m0 15v2m9.5-9.5h-2m-15 0h-2m15.7-6.7-1.4 1.4M6.7 17.3l-1.4 1.4m0-13.4 1.4 1.4m10.6 10.6 1.4 1.4',
  moon: 'M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z',
  system: 'M3.5 5h17v11h-17zM9 20h6m-3-4v4',
  key: 'M8 10.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zm3.3 1.3L20 3m-3.5 3.5L19 9m-5.5.5 1.5 1.5',
  link: 'M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.300l-1 1m2 3.700a4 4 0 0 0-5.700 0l-3 3A4 4 0 0 0 11 18.700l1-1',
  drop: 'M5 12h14',
  user: 'M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.500 20.500c.6-3.800 3.700-5.500 7.500-5.500s6.900 1.700 7.500 5.500',
  keyboard: 'M2.500 6h19v12h-19zM6 10h.01M10 10h.01M14 10h.01M18 10h.01M7.500 14h9',
  exit: 'M14 4h5v16h-5M4 12h10m-3.500-3.500L14 12l-3.500 3.500',
  live: 'M12 10.5a1.5 1.5 0 1 0 0 3 1.500 1.500 0 0 0 0-3zM8.500 15.500a5 5 0 0 1 0-7m7 0a5 5 0 0 1 0 7M5.300 18.700a9.500 9.500 0 0 1 0-13.400m13.400 0a9.500 9.500 0 0 1 0 13.400',
  listen:
    'M4 15v-2.500a8 8 0 0 1 16 0V15M4 14.500h3.500v6H6a2 2 0 0 1-2-2zM20 14.500h-3.500v6H18a2 2 0 0 0 2-2z',
  lab: 'M9 3.500h6M10.500 3.500V9L5 18.200a1.600 1.600 0 0 0 1.400 2.300h11.200a1.600 1.600 0 0 0 1.400-2.300L13.500 9V3.500M7.800 14.500h8.400',
  plus: 'M12 5v14M5 12h14',
  webhook: 'M4 12h11m-4.500-4.500L15 12l-4.500 4.500M20 5v14',
  disk: 'M4 13h16v6H4zM4 13l3-8h10l3 8M16.500 16h.01',
} as const

/** The names of the icons. */
export type IconName = keyof typeof shapes

/** A line icon, 16 px unless told (`size` in px). It is decoration: the word beside it carries the meaning. */
export function Icon({ name, size = 16, className }: { name: IconName; size?: number; className?: string }) {
  return (
    <svg
      aria-hidden="true"
      focusable="false"
      viewBox="0 0 24 24"
      width={size}
      height={size}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.75"
      strokeLinecap="round"
      strokeLinejoin="round"
      className={`shrink-0 ${className ?? ''}`}
    >
      <path d={shapes[name]} />
    </svg>
  )
}
