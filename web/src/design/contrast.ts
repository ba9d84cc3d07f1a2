/** A colour as it stands in tokens.css for each theme, `#rrggbb`. */
export interface ThemedColour {
  readonly light: string
  readonly dark: string
}

/** Reads every `--name: light-dark(#rrggbb, #rrggbb);` of a style sheet. Shadows and other values are passed over. */
export function readTokens(css: string): ReadonlyMap<string, ThemedColour> {
  const tokens = new Map<string, ThemedColour>()
  for (const match of css.matchAll(/--([a-z0-9-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\);/g)) {
    const [, name = '', light = '', dark = ''] = match
    tokens.set(name, { light, dark })
  }
  return tokens
}

function luminance(hex: string): number {
  const channel = (at: number) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  }
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

/** Contrast of two `#rrggbb` colours as WCAG 2 defines it: 1 (equal) to 21 (black on white). */
export function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (light + 0.05) / (dark + 0.05)
}
