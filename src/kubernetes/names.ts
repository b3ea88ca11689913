import { murmur3 } from '../contract/murmur3.ts'

/** Longest name of ours: others add to it, such as KServe and the names of pods. */
const NAME_MAX = 40
/** Longest name of a Deployment whose pods begin with it, a dash, a hash of ten and a dash: the API cuts what comes before the last five at 58. */
const WORKLOAD_MAX = 46
/** Longest label of DNS (RFC 1035), and longest value of a label of Kubernetes. */
const LABEL_MAX = 63
const LABEL_VALUE = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/

/**
 * A name of an object (a label of DNS, RFC 1035) for an endpoint, and for what belongs to it: `churn`, `churn-next`. Names that had to be
 * changed or cut end with a digest, so that no two share one.
 */
export function objectName(endpoint: string, suffix?: string): string {
  const plain = endpoint
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^[^a-z]+|-+$/g, '')
  const name = plain === endpoint && endpoint.length <= NAME_MAX ? plain : withDigest(plain, endpoint, NAME_MAX)
  if (suffix === undefined) return name
  const whole = `${name}-${suffix}`
  return whole.length <= WORKLOAD_MAX ? whole : withDigest(whole, whole, WORKLOAD_MAX)
}

function withDigest(text: string, of: string, lengthMax: number): string {
  const kept = text.slice(0, lengthMax - 9).replace(/-+$/, '')
  return `${kept === '' ? 'endpoint' : kept}-${murmur3(of).toString(16).padStart(8, '0')}`
}

/** An endpoint's name as the value of a label: itself, or the name of its objects where it is too long or has another form. */
export function labelValue(endpoint: string): string {
  return endpoint.length <= LABEL_MAX && LABEL_VALUE.test(endpoint) ? endpoint : objectName(endpoint)
}

/** Whether text can be the value of a label. */
export function isLabelValue(text: string): boolean {
  return text === '' || (text.length <= LABEL_MAX && LABEL_VALUE.test(text))
}

/** Whether text can be the key of a label: a name, and a domain before it. */
export function isLabelKey(text: string): boolean {
  const parts = text.split('/')
  const [domain, name] = parts.length === 2 ? parts : [undefined, parts[0]]
  if (parts.length > 2 || name === undefined || name === '' || !isLabelValue(name)) return false
  return domain === undefined || (domain.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(domain))
}
