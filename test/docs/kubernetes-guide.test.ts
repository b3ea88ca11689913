import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { EndpointDocument } from '../../src/contract/endpoint.ts'
import { check } from '../../src/contract/schema.ts'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { ROOT } from '../fixtures.ts'
import { validate } from '../kubernetes/validate.ts'
import { guideInShell } from './guide-in-shell.ts'
import type { EndpointSpec } from '../../src/contract/endpoint.ts'

const page = await readFile(join(ROOT, 'docs/guides/kubernetes.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, block = '']) => block)

it('the commands of the guide to Kubernetes write the objects of its endpoint', async () => {
  const { code, said } = await guideInShell(blocks('sh').join('\n'), { ends: '', limitS: 90 })
  assert.equal(code, 0, said.slice(-4000))
  assert.match(said, /^the end$/m)
  assert.match(said, /^kind: Deployment$/m)
  assert.deepEqual(said.match(/^\d\d-\S+\.yaml$/gm), [
    '01-configmap-churn-main-config.yaml',
    '02-networkpolicy-churn.yaml',
    '03-service-churn.yaml',
    '04-deployment-churn-main.yaml',
    '05-poddisruptionbudget-churn-main.yaml',
  ])
})

describe('each part of a document in the guide', () => {
  const [whole = ''] = /^apiVersion: slipway[\s\S]*?(?=^YAML$)/m.exec(page) ?? []
  const document = parse(whole) as EndpointDocument
  for (const [index, block] of blocks('yaml').entries())
    it(`number ${index + 1} is one that can be rendered, and what comes of it fits its kinds`, async () => {
      const { kubernetes = {}, ...rest } = parse(block) as Partial<EndpointSpec>
      const { replicas, ...spec } = document.spec
      const changed = {
        ...document,
        spec: {
          ...spec,
          ...(rest.autoscaling === undefined && { replicas }),
          ...rest,
          kubernetes: { ...spec.kubernetes, ...kubernetes },
        },
      }
      const checked = check(EndpointDocument, changed)
      assert.ok('value' in checked, JSON.stringify(checked))
      const objects = renderEndpoint(checked.value)
      assert.ok(objects.length >= 4)
      for (const object of objects) await validate(object)
    })
})
