import { stringify } from 'yaml'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

/**
 * What a pod that serves never does: start a shell, write outside of its folders, change packages. A ConfigMap with a file of Falco's rules,
 * to be mounted into /etc/falco/rules.d.
 */
export function falcoRules(resolved: ResolvedKubernetes): KubernetesObject[] {
  const { name, namespace, labels, options } = resolved
  if (options.falco !== true) return []
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `${name}-falco`, namespace, labels },
      data: { [`slipway-${name}.yaml`]: falcoFile(resolved) },
    },
  ]
}

function falcoFile({ name, namespace, workloads }: ResolvedKubernetes): string {
  const pod = workloads.map((workload) => `k8s.pod.name startswith "${workload.name}-"`).join(' or ')
  const macro = `slipway_${name.replaceAll('-', '_')}`
  const output = (what: string): string =>
    `${what} (endpoint=${name} pod=%k8s.pod.name command=%proc.cmdline parent=%proc.pname user=%user.name)`
  const rule = (title: string, priority: string, { desc, condition, what }: { desc: string; condition: string; what: string }): object => ({
    rule: `${title} (${name})`,
    desc,
    condition: `${condition} and ${macro}`,
    output: output(what),
    priority,
    tags: ['slipway', 'container'],
  })
  return stringify(
    [
      { macro, condition: `(container.id != host and k8s.ns.name = "${namespace}" and (${pod}))` },
      rule('Slipway shell', 'WARNING', {
        desc: 'A serving pod has no shell and needs none.',
        condition: 'evt.type in (execve, execveat) and evt.dir = < and proc.name in (sh, bash, dash, zsh, ash, busybox)',
        what: 'A shell was started in a serving pod',
      }),
      rule('Slipway unexpected program', 'NOTICE', {
        desc: 'A serving pod runs node, and python where models of Python are served.',
        condition: 'evt.type in (execve, execveat) and evt.dir = < and not proc.name in (node, python3, slipway)',
        what: 'An unexpected program was started in a serving pod',
      }),
      rule('Slipway write outside its folders', 'ERROR', {
        desc: 'The root of a serving pod is read-only but for /tmp and its store.',
        condition:
          'evt.type in (open, openat, openat2, creat) and evt.is_open_write = true and fd.typechar = "f" and not fd.name startswith /tmp and not fd.name startswith /var/lib/slipway and not fd.name startswith /dev and not fd.name startswith /proc',
        what: 'A serving pod wrote outside of its folders',
      }),
      rule('Slipway token of the cluster read', 'WARNING', {
        desc: 'A serving pod asks nothing of the cluster.',
        condition: 'evt.type in (open, openat, openat2) and evt.is_open_read = true and fd.name startswith /var/run/secrets/kubernetes.io',
        what: 'A serving pod read a token of the cluster',
      }),
    ],
    { lineWidth: 0 },
  )
}
