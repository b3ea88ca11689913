import type { RegistryEvent } from './history.ts'

/** What an event says of before and after. */
type Facts = Readonly<Record<string, unknown>>

interface Told extends Pick<RegistryEvent, 'name' | 'action'> {
  readonly before: Facts
  readonly after: Facts
  /** ` by anna` */
  readonly by: string
}

/** A sentence that says to people what has happened. Of a kind or an action that is not known here: what is known of every event. */
export function sentenceOf(event: RegistryEvent): string {
  const { name, action, actor, reason } = event
  // Kinds of rooms that this one does not know are kinds too.
  const kind: string = event.kind
  const told: Told = { name, action, by: ` by ${actor}`, before: factsOf(event.before), after: factsOf(event.after) }
  const said = SENTENCES[kind]?.(told) ?? `${kind.replaceAll('_', ' ')} ${name} was ${action.replaceAll('_', ' ')}${told.by}`
  // A rollout has its reason in its own words.
  return reason === undefined || kind === 'rollout' ? said : `${said}: ${reason}`
}

function factsOf(value: unknown): Facts {
  return typeof value === 'object' && value !== null ? (value as Facts) : {}
}

const SENTENCES: Readonly<Record<string, (told: Told) => string | undefined>> = {
  webhook: ({ action, name }) => (action === 'tested' ? `this is a test of the webhook "${name}", and it has arrived` : undefined),
  model: modelSentence,
  version: versionSentence,
  alias: aliasSentence,
  endpoint: endpointSentence,
  rollout: rolloutSentence,
  server: serverSentence,
  key: ({ action, name, by }) => `the key "${name}" was ${action === 'rotated' ? 'exchanged for a new one' : action}${by}`,
  role: ({ action, name, by, before, after }) =>
    action === 'created'
      ? `${name} was given the role ${text(after['role'])}${by}`
      : `the role ${text(before['role'])} was taken from ${name}${by}`,
  environment: ({ action, name, by }) => `the environment ${name} was ${action}${by}`,
  signer: ({ action, name, by }) =>
    action === 'created' ? `${name} was accepted as a signer of versions${by}` : `${name} was removed as a signer of versions${by}`,
  records: ({ by }) => `records of predictions of one subject were deleted${by}`,
}

function modelSentence({ action, name, by, before, after }: Told): string | undefined {
  if (action === 'renamed') return `the model ${text(before['name'])} was renamed to ${text(after['name'])}${by}`
  if (action === 'restored') return `the model ${name} was taken out of the trash${by}`
  const tag = tagOf(after) ?? tagOf(before)
  if (tag !== undefined) return `the model ${name} ${action === 'set' ? `got the tag ${tag}` : `lost the tag ${tag}`}${by}`
  return action === 'created' ? `the model ${name} was registered${by}` : `the model ${name} was ${action}${by}`
}

function versionSentence({ action, name, by, before, after }: Told): string | undefined {
  const of = versionWords(name)
  if (action === 'created') {
    const broken = after['servable'] === false ? ', which cannot be served' : ''
    const from = after['promotedFrom'] === undefined ? '' : ' from another environment'
    return `${of} was registered${from}${by}${broken}`
  }
  if (action === 'restored') return `${of} was taken out of the trash${by}`
  if (after['signedBy'] !== undefined) return `${of} was signed by ${text(after['signedBy'])}`
  const tag = tagOf(after) ?? tagOf(before)
  if (tag !== undefined) return `${of} ${action === 'set' ? 'got' : 'lost'} the tag ${tag}${by}`
  if (after['approval'] !== undefined) return `${of} was ${text(after['approval'])}${by}`
  if (after['stage'] !== undefined) return `${of} was moved to the stage ${text(after['stage'])}${by}`
  if (after['servable'] !== undefined)
    return `${of} ${after['servable'] === true ? 'can be served' : `cannot be served: ${text(after['reason'] ?? 'no reason is known')}`}`
  return `${of} was ${action}${by}`
}

function aliasSentence({ action, name, by, before, after }: Told): string {
  const [model = name, alias = ''] = name.split('@')
  if (action === 'deleted') return `${model}: ${alias} was taken off version ${text(before['version'])}${by}`
  const was = before['version'] === undefined ? '' : ` instead of version ${text(before['version'])}`
  return `${model}: ${alias} was pointed to version ${text(after['version'])}${was}${by}`
}

/** Why a revision was made. */
const CAUSES: Readonly<Record<string, string>> = {
  alias: ', as its alias has moved',
  cron: ', as its schedule says',
  sync: ', as its aliases were followed',
  rollback: ', as it was rolled back',
  resume: ', as it follows its aliases again',
}

function endpointSentence({ action, name, by, before, after }: Told): string | undefined {
  if (action === 'deleted') return `the endpoint ${name} was deleted${by}`
  if (after['revision'] !== undefined) {
    const was = before['variants'] === undefined ? '' : ` instead of ${pairsOf(before['variants'])}`
    const back = after['rolledBackTo'] === undefined ? '' : ` as in revision ${text(after['rolledBackTo'])}`
    const cause = CAUSES[text(after['cause'])] ?? by
    return `${name}: revision ${text(after['revision'])} serves ${pairsOf(after['variants'])}${back}${was}${cause}`
  }
  if (after['routing'] !== undefined) {
    const shadows = pairsOf(after['shadows'], ' %')
    return `${name}: requests are shared out as ${pairsOf(after['routing'], ' %')}${shadows === '' ? '' : `, copies as ${shadows}`}${by}`
  }
  if (after['follows'] === true) return `${name} follows its aliases again${by}`
  return action === 'created' ? `the endpoint ${name} was declared${by}` : undefined
}

function serverSentence({ action, name, by }: Told): string | undefined {
  if (action === 'joined') return `the server ${name} has joined`
  if (action === 'replaced') return `another process has taken the place of the server ${name}`
  return action === 'adopted' ? `servers that followed another control plane were told to follow this one${by}` : undefined
}

/** States in which a rollout has ended and the version before has all requests again. */
const TAKEN_BACK = new Set(['rolled back', 'aborted', 'failed'])

/** `churn: version 7 was rolled back from 25 %, and version 6 has all requests again, because ...` */
function rolloutSentence({ name, before, after }: Told): string | undefined {
  const endpoint = text(after['endpoint'] ?? name.split('/')[0])
  const [to, from] = [after['to'], after['from']].map((version) => versionOf(version, endpoint))
  const state = text(after['state']).replaceAll('_', ' ')
  if (to === undefined || state === '') return undefined
  const why = after['reason'] === undefined ? '' : `, because ${text(after['reason'])}`
  const instead = from === undefined ? '' : ` instead of ${from}`
  const share = shareOf(after)
  const sentence = (): string => {
    if (TAKEN_BACK.has(state)) {
      const had = shareOf(before) ?? (typeof before['step'] === 'number' && before['step'] >= 0 ? `step ${before['step'] + 1}` : undefined)
      return `${to} was ${state}${had === undefined ? '' : ` from ${had}`}${from === undefined ? '' : `, and ${from} has all requests again`}`
    }
    switch (state) {
      case 'waiting':
        return `a rollout of ${to}${instead} has been begun, and waits`
      case 'loading':
        return `${to} is being loaded beside ${from ?? 'what serves'}`
      case 'progressing':
        return `${to} gets ${share ?? 'a share'} of the requests`
      case 'paused':
        return `the rollout of ${to} is paused${share === undefined ? '' : ` at ${share}`}`
      case 'baking':
        return `${to} gets ${share ?? 'all'} of the requests, and is watched before it is put in force`
      case 'watching':
        return `${to} is in force${instead}, and is still watched`
      case 'superseded':
        return `the rollout of ${to} has ended for another one`
      case 'promoted':
        return `${to} is in force${instead}`
      default:
        return `the rollout of ${to} is ${state} now`
    }
  }
  return `${endpoint}: ${sentence()}${why}`
}

/** `25 %`: the share of the new version, where an event says it. */
function shareOf({ weight, step }: Facts): string | undefined {
  if (typeof weight === 'number') return `${weight} %`
  return typeof step === 'string' && step.endsWith('%') ? step : undefined
}

/** `churn/7` in the endpoint churn is `version 7`, and anywhere else `version 7 of churn`. */
function versionOf(version: unknown, endpoint: string): string | undefined {
  if (typeof version === 'number') return `version ${version}`
  if (typeof version !== 'string' || version === '') return undefined
  const [, model, number] = /^(.+)\/([^/]+)$/.exec(version) ?? []
  if (number === undefined) return `version ${version}`
  return model === endpoint ? `version ${number}` : `version ${number} of ${model}`
}

/** `churn/3` as `churn: version 3`. */
function versionWords(name: string): string {
  const at = name.lastIndexOf('/')
  return at < 0 ? name : `${name.slice(0, at)}: version ${name.slice(at + 1)}`
}

function tagOf({ tag }: Facts): string | undefined {
  const { key, value } = factsOf(tag)
  if (typeof key !== 'string') return undefined
  return typeof value === 'string' && value !== '' ? `${key}=${value}` : key
}

/** `main churn/7, canary churn/8 25%` */
function pairsOf(value: unknown, unit = ''): string {
  if (Array.isArray(value)) return value.map(text).join(', ')
  return Object.entries(factsOf(value))
    .map(([name, what]) => `${name} ${text(what)}${unit}`)
    .join(', ')
}

function text(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
