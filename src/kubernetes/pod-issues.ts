import { VARIANT_LABEL } from './labels.ts'
import { isLabelKey, isLabelValue } from './names.ts'
import { coresOf } from './quantity.ts'
import type { EndpointSpec } from '../contract/endpoint.ts'
import type { Issue } from '../core/errors.ts'

/** Labels that selectors are made of. */
const OWN_LABELS = new Set(['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by', VARIANT_LABEL])
const OWN_VARIABLES = new Set(['SLIPWAY_CONFIG', 'SLIPWAY_JOIN_TOKEN', 'SLIPWAY_CONTROL_PLANE_SERVER_NAME'])
/** API keys of servers. */
const KEYS_VARIABLE = 'SLIPWAY_API_KEYS'
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Labels that no object can have. @param path where they stand */
export function labelIssues(path: string, labels: Readonly<Record<string, string>> = {}): Issue[] {
  return Object.entries(labels).flatMap(([key, value]): Issue[] => {
    if (!isLabelKey(key))
      return [{ path: `${path}.${key}`, message: 'expected a key of a label: [DOMAIN/]NAME, the name up to 63 characters' }]
    if (!isLabelValue(value))
      return [
        {
          path: `${path}.${key}`,
          message: `"${value}": expected up to 63 letters, digits, -, _ and ., with a letter or digit at both ends`,
        },
      ]
    return []
  })
}

/** What pods cannot be as they are asked for. */
export function podIssues({ kubernetes = {} }: EndpointSpec): Issue[] {
  const { labels = {}, annotations = {}, environment = {}, resources = {}, rollingUpdate = {}, nodeSelector, gpu, model } = kubernetes
  const issues = [
    ...labelIssues('spec.kubernetes.labels', labels),
    ...labelIssues('spec.kubernetes.nodeSelector', nodeSelector),
    ...labelIssues('spec.kubernetes.gpu.nodeSelector', gpu?.nodeSelector),
  ]
  const note = (path: string, message: string): void => void issues.push({ path: `spec.kubernetes.${path}`, message })
  for (const key of Object.keys(labels)) if (OWN_LABELS.has(key)) note(`labels.${key}`, 'is what Slipway finds pods by: leave it out')
  for (const key of Object.keys(annotations)) if (!isLabelKey(key)) note(`annotations.${key}`, 'expected [DOMAIN/]NAME')
  for (const name of Object.keys(environment)) {
    if (!VARIABLE.test(name)) note(`environment.${name}`, 'expected a name of a variable: letters, digits and _')
    if (OWN_VARIABLES.has(name)) note(`environment.${name}`, 'is what Slipway sets itself: leave it out')
  }
  const { maxSurge = gpu === undefined ? 1 : 0, maxUnavailable = gpu === undefined ? 0 : 1 } = rollingUpdate
  if (isNone(maxSurge) && isNone(maxUnavailable)) note('rollingUpdate', 'with neither a pod more nor a pod less nothing can be exchanged')
  const { cpu = '1', cpuLimit } = resources
  if (cpuLimit !== undefined && coresOf(cpuLimit) < coresOf(cpu))
    note('resources.cpuLimit', `${cpuLimit}: less than pods ask for (\`cpu\`: ${cpu})`)
  if (model?.from === 'control-plane' && !/^https?:\/\//.test(URL.parse(model.address)?.href ?? ''))
    note('model.address', `"${model.address}": expected an address such as http://slipway.slipway.svc:8480`)
  return issues
}

function isNone(pods: number | string | undefined): boolean {
  return pods === 0 || pods === '0%'
}

/** Variables that are set twice, and Secrets that nobody would fill. */
export function secretIssues({ kubernetes = {} }: EndpointSpec): Issue[] {
  const { secrets = [], environment = {}, monitoring } = kubernetes
  const issues: Issue[] = []
  const note = (path: string, message: string): void => void issues.push({ path: `spec.kubernetes.${path}`, message })
  for (const [index, { variable, secret, key, external }] of secrets.entries()) {
    const path = `secrets[${index}]`
    const before = secrets.slice(0, index)
    if (environment[variable] !== undefined || OWN_VARIABLES.has(variable) || before.some((other) => other.variable === variable))
      note(`${path}.variable`, `${variable} is set twice`)
    const made = secrets.find((other) => other.secret === secret && other.external !== undefined)?.external
    if (made !== undefined && external === undefined)
      note(`${path}.external`, `missing: "${secret}" is filled from the store "${made.store}", which has to have ${key}, too`)
    if (made !== undefined && external !== undefined && (external.store !== made.store || external.storeKind !== made.storeKind))
      note(`${path}.external.store`, `"${secret}" is filled from the store "${made.store}": one Secret comes from one store`)
  }
  if (typeof monitoring === 'object' && monitoring.keySecret === undefined && secrets.some(({ variable }) => variable === KEYS_VARIABLE))
    note('monitoring.keySecret', 'missing: servers with API keys tell their metrics to those who have one of the scope metrics')
  return issues
}
