import { type Handler, PermanentError } from '@pulse/server'

const highValueFrom = 1_000

/** A purchase needs an amount above zero; it is sorted into `high_value` (above 1,000) and `standard`. */
export const purchase: Handler = (event) => {
  const { amount } = event.properties
  if (amount === undefined || amount === null || amount === 0)
    throw new PermanentError('Purchase events must have an amount')
  if (typeof amount !== 'number' || amount < 0) throw new PermanentError('Purchase amount must be positive')
  return { enriched: { category: amount > highValueFrom ? 'high_value' : 'standard' } }
}
