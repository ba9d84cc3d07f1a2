export interface BitmapStats {
  readonly bits: number
  readonly hashes: number
  readonly setBits: number
  /** Part of the bits that are set, 0 to 1. */
  readonly fill: number
  /** Length of the key in Redis. */
  readonly bytes: number
  /** How many different names would have set so many bits. Infinity when all are set. */
  readonly namesEstimated: number
  /** Part of the names that are not there for which `has` says true, by the fill. */
  readonly falsePositiveRate: number
}

/** What so many set bits mean for a filter whose names spread evenly (Swamidass and Baldi, 2007). */
export function statsOf(counted: {
  bits: number
  hashes: number
  setBits: number
  bytes: number
}): BitmapStats {
  const { bits, hashes, setBits } = counted
  const fill = Math.min(1, setBits / bits)
  return {
    ...counted,
    fill,
    namesEstimated: Math.round((-bits / hashes) * Math.log1p(-fill)),
    falsePositiveRate: fill ** hashes,
  }
}
