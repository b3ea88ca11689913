/** The page of usual manifests, from the files of test/kubernetes/guides: what lint says of each, and what an endpoint renders instead. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { EndpointDocument } from '../src/contract/endpoint.ts'
import { formatFileIssues, readYaml } from '../src/contract/read-yaml.ts'
import { lint } from '../src/kubernetes/lint/lint.ts'
import { readManifests } from '../src/kubernetes/lint/read-manifests.ts'
import { manifestOf } from '../src/kubernetes/manifest.ts'
import { renderEndpoint } from '../src/kubernetes/render.ts'

const SNIPPETS = new URL('../test/kubernetes/guides', import.meta.url).pathname

interface Said {
  readonly line: number
  readonly rule: string
  readonly severity: string
  readonly object: string
  readonly message: string
}

interface Snippet {
  readonly name: string
  readonly title: string
  readonly about: string
  readonly said: readonly Said[]
  /** The same intent, as an endpoint. */
  readonly endpoint: string
  readonly kinds: readonly string[]
  readonly saidOfRendered: readonly Said[]
}

function saidOf(text: string): Said[] {
  const { objects, unreadable } = readManifests(text)
  if (unreadable.length > 0) throw new Error(JSON.stringify(unreadable))
  return lint(objects.map(({ object }) => object)).findings.map(({ object, path, rule, severity, message }) => ({
    line: objects.find((one) => one.object === object)!.place(path).line,
    rule,
    severity,
    object: `${object.kind}/${object.metadata.name}`,
    message,
  }))
}

export function snippets(): Snippet[] {
  const names = readdirSync(SNIPPETS).filter((name) => name.endsWith('.yaml') && !name.endsWith('.endpoint.yaml'))
  return names.toSorted().map((file) => {
    const name = file.replace('.yaml', '')
    const text = readFileSync(join(SNIPPETS, file), 'utf8')
    const [title = '', about = ''] = text.split('\n', 2).map((line) => line.replace('# ', ''))
    const endpoint = readFileSync(join(SNIPPETS, `${name}.endpoint.yaml`), 'utf8')
    const read = readYaml(endpoint, EndpointDocument)
    if ('issues' in read) throw new Error(formatFileIssues(`${name}.endpoint.yaml`, read.issues))
    const rendered = renderEndpoint(read.value)
    return {
      name,
      title,
      about,
      said: saidOf(text),
      endpoint,
      kinds: [...new Set(rendered.map(({ kind }) => kind))],
      saidOfRendered: saidOf(manifestOf(rendered)),
    }
  })
}

/** Rules that each of these manifests breaks are told once. */
const EVERYWHERE = new Set(['non-root', 'privilege-escalation', 'capabilities', 'seccomp-profile', 'service-account-token'])

function section({ name, title, about, said, endpoint, kinds, saidOfRendered }: Snippet): string {
  const told = said.filter(({ rule, severity }) => severity !== 'advice' && !EVERYWHERE.has(rule))
  const rows = told.map(
    ({ line, severity, rule, object, message }) =>
      `| ${line} | ${severity} | \`${rule}\` | ${object}: ${message.replaceAll('|', String.raw`\|`)} |`,
  )
  const advice = [...new Set(said.filter(({ severity }) => severity === 'advice').map(({ rule }) => `\`${rule}\``))]
  const left = saidOfRendered.filter(({ severity }) => severity !== 'advice').length
  return `## ${title}

${about} ([the file](../../test/kubernetes/guides/${name}.yaml))

| Line | | Rule | What lint says |
|---|---|---|---|
${rows.join('\n')}
${advice.length === 0 ? '' : `\nAdvice: ${advice.join(', ')}.\n`}
The same as an endpoint. Rendered are ${kinds.join(', ')}; lint finds ${left === 0 ? 'no error and no warning' : `${left} errors and warnings`} in them.

\`\`\`yaml
${endpoint.trimEnd()}
\`\`\`
`
}

export function snippetsPage(generated: string): string {
  return `${generated}# Usual manifests, and what is wrong with them

Ten manifests in the manner of tutorials for models on Kubernetes. Under each stands what \`slipway lint k8s\` says of it, by its line, and the endpoint that means the same. Why a rule is, and where to read more,
stands in [the rules](../reference/kubernetes-lint.md), or \`slipway lint k8s --explain RULE\` says it.

Nearly all of them let containers run as root, keep capabilities, have no seccomp profile and mount a token of the API (${[...EVERYWHERE].map((rule) => `\`${rule}\``).join(', ')}): that is left out below. What Slipway renders does none of it.

${snippets().map(section).join('\n')}`
}
