import { containersOf } from '../pod-templates.ts'
import { at, listAt, mapAt, textAt, wordOf } from '../values.ts'
import type { Rule } from '../rule.ts'

const SECRETS_DOC = 'https://kubernetes.io/docs/concepts/configuration/secret/'
const PRACTICES_DOC = 'https://kubernetes.io/docs/concepts/security/secrets-good-practices/'

const SECRET_NAME =
  /(pass(word|wd|phrase)|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|credential|client[-_.]?secret|auth[-_.]?key|connection[-_.]?string)s?$/i
/** Names that end like a secret and are none. */
const NO_SECRET =
  /(?<![a-z])(max|min|num|count|limit|total|budget|pad|special|bos|eos|unk|vocab)(?![a-z])|secret[-_.]?name|token[-_.]?(url|ttl|endpoint|file|path)/i
/** Values that name something, or stand in the place of a value. */
const NO_VALUE = /^(true|false|null|none|\d{1,12}|\$\(.+\)|\$\{.+\}|<.+>|\{\{.+\}\}|\/[\w./-]*|\.{3,}|x+|\*+)?$/i

/** Forms in which well-known systems write their keys. */
const SHAPES: readonly (readonly [shape: RegExp, what: string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, 'a private key'],
  [/\b(AKIA|ASIA)[0-9A-Z]{16}\b/, 'an access key of AWS'],
  [/\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{22,}\b/, 'a token of GitHub'],
  [/\bglpat-[\w-]{20,}\b/, 'a token of GitLab'],
  [/\bhf_[A-Za-z0-9]{30,}\b/, 'a token of Hugging Face'],
  [/\bsk-[A-Za-z0-9_-]{20,}\b/, 'a key of an API'],
  [/\bxox[abprs]-[\w-]{10,}\b/, 'a token of Slack'],
  [/\bAIza[\w-]{35}\b/, 'a key of Google'],
  [/\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+/, 'a signed token (JWT)'],
  [/\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@$]+:(?!\$|<|\*|x+@)[^\s:/@]+@/i, 'an address with a password'],
]
const RANDOM_LENGTH = 32
const RANDOM_BITS = 4

/** Bits for each character, after C. Shannon, "A Mathematical Theory of Communication", 1948. */
function entropyOf(text: string): number {
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  return [...counts.values()].reduce((sum, count) => sum - (count / text.length) * Math.log2(count / text.length), 0)
}

/** What makes a value a secret, in words; undefined where it is none. */
function secretIn(name: string, value: unknown): string | undefined {
  if (typeof value !== 'string' || NO_VALUE.test(value.trim())) return undefined
  const shape = SHAPES.find(([pattern]) => pattern.test(value))?.[1]
  if (shape !== undefined) return shape
  if (SECRET_NAME.test(name) && !NO_SECRET.test(name) && !/^(https?|s3|gs):\/\//.test(value)) return 'a secret, by its name'
  const isRandom =
    /^[A-Za-z0-9+/_=-]+$/.test(value) &&
    /\d/.test(value) &&
    /[A-Z]/.test(value) &&
    /[a-z]/.test(value) &&
    !value.includes('/') &&
    value.length >= RANDOM_LENGTH &&
    entropyOf(value) > RANDOM_BITS
  return isRandom ? 'random characters, as keys are' : undefined
}

export const SECRET_RULES: readonly Rule[] = [
  {
    id: 'secret-in-env',
    severity: 'error',
    what: 'No secret stands in a variable, command or argument.',
    why: 'Whoever may read a Deployment, its history in Git or `kubectl describe` has it, and changing it means a release. A variable can come from a Secret by its name.',
    readMore: PRACTICES_DOC,
    *check({ pods }) {
      for (const { pod, container, path, name } of pods.flatMap(containersOf)) {
        for (const [index, variable] of listAt(container, 'env').entries()) {
          const key = textAt(variable, 'name') ?? ''
          const what = secretIn(key, at(variable, 'value'))
          if (what !== undefined)
            yield {
              object: pod.object,
              path: [...path, 'env', index, 'value'],
              message: `${key} of container ${name} is ${what}: take it from a Secret (valueFrom.secretKeyRef)`,
            }
        }
        for (const field of ['command', 'args'])
          for (const [index, word] of listAt(container, field).entries()) {
            // `--password=VALUE`, or `--password` and the value as the next word.
            const before = wordOf(listAt(container, field)[index - 1] ?? '')
            const named = wordOf(word).startsWith('-') ? undefined : /^--?([\w.-]+)$/.exec(before)?.[1]
            const [, flag = named ?? '', value = word] = typeof word === 'string' ? (/^--?([\w.-]+)=(.+)$/s.exec(word) ?? []) : []
            const what = secretIn(flag, value)
            if (what !== undefined)
              yield {
                object: pod.object,
                path: [...path, field, index],
                message: `an argument of container ${name} is ${what}: take it from a variable that comes from a Secret`,
              }
          }
      }
    },
  },
  {
    id: 'secret-in-config-map',
    severity: 'error',
    what: 'No secret stands in a ConfigMap.',
    why: 'ConfigMaps are read by far more people and programs than Secrets, and are not encrypted where Secrets are.',
    readMore: SECRETS_DOC,
    *check({ objects }) {
      for (const object of objects.filter(({ kind }) => kind === 'ConfigMap'))
        for (const [key, value] of Object.entries(mapAt(object, 'data'))) {
          const inLine =
            typeof value === 'string' ? value.split('\n').map((line) => /^\s*"?([\w.-]+)"?\s*[:=]\s*["']?([^"'\s,]+)/.exec(line)) : []
          const what =
            secretIn(key, value) ??
            inLine.map((line) => (line === null ? undefined : secretIn(line[1]!, line[2]))).find((one) => one !== undefined)
          if (what !== undefined)
            yield {
              object,
              path: ['data', key],
              message: `${key} has ${what}: put it into a Secret, best by the External Secrets Operator`,
            }
        }
    },
  },
  {
    id: 'secret-in-manifest',
    severity: 'warning',
    what: 'Secrets come from a store, and not from a file with their values.',
    why: 'base64 is no encryption: with the file in Git the value is there for ever, for everybody who has ever cloned it.',
    readMore: PRACTICES_DOC,
    *check({ objects }) {
      for (const object of objects.filter(({ kind, apiVersion }) => kind === 'Secret' && apiVersion === 'v1'))
        for (const field of ['data', 'stringData'])
          if (Object.keys(mapAt(object, field)).length > 0)
            yield {
              object,
              path: [field],
              message: 'the values of a Secret stand here: keep them in a store, and let an ExternalSecret or a SealedSecret make it',
            }
    },
  },
]
