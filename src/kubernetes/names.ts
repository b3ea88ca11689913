import { murmur3 } from '../contract/murmur3.ts'

/** Longest name of ours: others add to it, such as KServe and the names of pods. */
const NAME_MAX = 40

/**
 * A name of an object (a label of DNS, RFC 1035) for an endpoint, and for what belongs to it: `churn`, `churn-next`. Names that had to be
 * changed end with a digest, so that no two endpoints share one.
 */
export function objectName(endpoint: string, suffix?: string): string {
  const plain = endpoint
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^[^a-z]+|-+$/g, '')
  const room = suffix === undefined ? NAME_MAX : NAME_MAX + 1 + suffix.length
  const name =
    plain === endpoint && endpoint.length <= NAME_MAX
      ? plain
      : `${plain.slice(0, NAME_MAX - 9) || 'endpoint'}-${murmur3(endpoint).toString(16).padStart(8, '0')}`
  return suffix === undefined ? name : `${name}-${suffix}`.slice(0, Math.min(room, 63)).replace(/-+$/, '')
}
