/** What lint says of pod security is what the admission of a real API server enforces, field by field. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { lint } from '../../src/kubernetes/lint/lint.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

/** Rules that stand for the restricted standard, and those of them that are also in the baseline. */
const BASELINE = ['host-namespaces', 'privileged', 'host-path', 'host-port', 'probe-host', 'unsafe-options']
const RESTRICTED = [...BASELINE, 'non-root', 'privilege-escalation', 'capabilities', 'seccomp-profile', 'volume-types']

const SAFE = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
}
const container = (securityContext: object | undefined, more: object = {}, name = 'server'): object => ({
  name,
  image: 'images.example/churn:1',
  ...(securityContext !== undefined && { securityContext }),
  ...more,
})
const pod = (containers: readonly object[], spec: object = {}, annotations?: object): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'churn', ...(annotations !== undefined && { annotations: annotations as Record<string, string> }) },
  spec: { containers, ...spec },
})
const one = (securityContext: object, more?: object): KubernetesObject => pod([container({ ...SAFE, ...securityContext }, more)])
const withSpec = (spec: object): KubernetesObject => pod([container(SAFE)], spec)
const probe = (kind: string): object => ({ [kind]: { httpGet: { path: '/', port: 80, host: '10.0.0.1' } } })

/** Pods by what is special about them. */
const PODS: Readonly<Record<string, KubernetesObject>> = {
  'all as it should be': one({}),
  'nothing said': pod([container(undefined)]),
  'said for the pod': pod([container({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } })], {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  }),
  'root, by number': one({ runAsUser: 0 }),
  'root, by number of the pod': withSpec({ securityContext: { runAsUser: 0 } }),
  'not said to be other than root': one({ runAsNonRoot: undefined }),
  'root allowed by a container of a pod that does not': pod([container({ ...SAFE, runAsNonRoot: false })], {
    securityContext: { runAsNonRoot: true },
  }),
  'root allowed by the pod, and by no container': withSpec({ securityContext: { runAsNonRoot: false } }),
  'more rights': one({ allowPrivilegeEscalation: true }),
  'no word on more rights': one({ allowPrivilegeEscalation: undefined }),
  'one capability dropped': one({ capabilities: { drop: ['NET_RAW'] } }),
  'the capability of ports': one({ capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] } }),
  'a capability of the baseline': one({ capabilities: { drop: ['ALL'], add: ['CHOWN'] } }),
  'a capability beyond': one({ capabilities: { drop: ['ALL'], add: ['SYS_ADMIN'] } }),
  'no filter': one({ seccompProfile: undefined }),
  'filter turned off': one({ seccompProfile: { type: 'Unconfined' } }),
  'filter turned off by the pod': withSpec({ securityContext: { seccompProfile: { type: 'Unconfined' } } }),
  'a filter of the node': one({ seccompProfile: { type: 'Localhost', localhostProfile: 'a.json' } }),
  privileged: one({ privileged: true, allowPrivilegeEscalation: undefined }),
  'network of the node': withSpec({ hostNetwork: true }),
  'processes of the node': withSpec({ hostPID: true }),
  'memory of the node': withSpec({ hostIPC: true }),
  'a folder of the node': withSpec({ volumes: [{ name: 'a', hostPath: { path: '/a' } }] }),
  'a folder of the network': withSpec({ volumes: [{ name: 'a', nfs: { server: 'a', path: '/a' } }] }),
  'volumes of all other kinds': withSpec({
    volumes: [
      { name: 'a', emptyDir: {} },
      { name: 'b', configMap: { name: 'b' } },
      { name: 'c', secret: { secretName: 'c' } },
      { name: 'd', projected: { sources: [] } },
      { name: 'e', downwardAPI: {} },
      { name: 'f', persistentVolumeClaim: { claimName: 'f' } },
      { name: 'g', csi: { driver: 'g' } },
      { name: 'h', image: { reference: 'images.example/h:1' } },
      { name: 'i' },
    ],
  }),
  'a port of the node': one({}, { ports: [{ containerPort: 80, hostPort: 80 }] }),
  'a port': one({}, { ports: [{ containerPort: 80 }] }),
  'a host of liveness': one({}, probe('livenessProbe')),
  'a host of readiness': one({}, probe('readinessProbe')),
  'a host of startup': one({}, probe('startupProbe')),
  'a host of a hook': one({}, { lifecycle: { preStop: { httpGet: { path: '/', port: 80, host: '10.0.0.1' } } } }),
  'all of /proc': pod([container({ ...SAFE, procMount: 'Unmasked' })], { hostUsers: false }),
  'a type of SELinux': one({ seLinuxOptions: { type: 'spc_t' } }),
  'the type of containers': one({ seLinuxOptions: { type: 'container_t', level: 's0:c1,c2' } }),
  'a user of SELinux': one({ seLinuxOptions: { user: 'system_u' } }),
  'no AppArmor': one({ appArmorProfile: { type: 'Unconfined' } }),
  'no AppArmor, by annotation': pod([container(SAFE)], {}, { 'container.apparmor.security.beta.kubernetes.io/server': 'unconfined' }),
  'a safe sysctl': withSpec({ securityContext: { sysctls: [{ name: 'net.ipv4.tcp_rmem', value: '1 2 3' }] } }),
  'a sysctl of the node': withSpec({ securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] } }),
  'an init container': pod([container(SAFE)], { initContainers: [container(undefined, {}, 'init')] }),
  'a sidecar': pod([container(SAFE)], {
    initContainers: [container({ ...SAFE, privileged: true, allowPrivilegeEscalation: undefined }, { restartPolicy: 'Always' }, 'sidecar')],
  }),
  Windows: pod([container({ runAsNonRoot: true })], { os: { name: 'windows' } }),
  'Windows, of the host': pod([container({ runAsNonRoot: true, windowsOptions: { hostProcess: true } })], {
    os: { name: 'windows' },
    hostNetwork: true,
  }),
}

describe('pod security', () => {
  let cluster: KubernetesCluster
  before(async () => {
    cluster = await startKubernetes({ controllers: false })
    for (const level of ['restricted', 'baseline'])
      await cluster.request('POST', '/api/v1/namespaces', {
        metadata: {
          name: level,
          labels: { 'pod-security.kubernetes.io/enforce': level, 'pod-security.kubernetes.io/enforce-version': 'v1.34' },
        },
      })
  })
  after(async () => await cluster[Symbol.asyncDispose]())

  for (const level of ['restricted', 'baseline'] as const)
    it(`of the level ${level} is broken for lint where it is for the admission`, async () => {
      const wrong: string[] = []
      let refused = 0
      for (const [what, object] of Object.entries(PODS)) {
        const rules = level === 'restricted' ? RESTRICTED : BASELINE
        const found = lint([object]).findings.filter(({ rule }) => rules.includes(rule))
        // Beyond the baseline, adding is a break of it.
        const adds = level === 'baseline' && what === 'a capability beyond'
        const { status, body } = await cluster.request('POST', `/api/v1/namespaces/${level}/pods?dryRun=All`, object)
        const message = String(body['message'] ?? '')
        assert.ok(status === 201 || (status === 403 && message.includes('PodSecurity')), `${what}: ${status} ${message}`)
        if (status === 403) refused++
        if ((status === 403) !== (found.length > 0 || adds))
          wrong.push(`${what}: ${status} ${message}; lint says ${found.map((one) => one.message).join(', ') || 'nothing'}`)
      }
      assert.deepEqual(wrong, [])
      assert.ok(refused > 10 && refused < Object.keys(PODS).length - 5)
    })
})
