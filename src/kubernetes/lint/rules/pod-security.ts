import { containersOf } from '../pod-templates.ts'
import { at, listAt, mapAt, numberAt, textAt, wordOf } from '../values.ts'
import type { Container, PodTemplate } from '../pod-templates.ts'
import type { Manifests } from '../manifests.ts'
import type { Break, Rule } from '../rule.ts'
import type { Path } from '../values.ts'

/** The Pod Security Standards as the admission of Kubernetes 1.34 enforces them. */
const READ_MORE = 'https://kubernetes.io/docs/concepts/security/pod-security-standards/'

const BASELINE_CAPABILITIES = new Set(
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'.split(' '),
)
const SAFE_SYSCTLS = new Set(
  `kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range net.ipv4.ip_unprivileged_port_start
  net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl
  net.ipv4.tcp_keepalive_probes net.ipv4.tcp_rmem net.ipv4.tcp_wmem`.split(/\s+/),
)
const SELINUX_TYPES = new Set([undefined, '', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t'])
const VOLUME_TYPES = new Set('configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret'.split(' '))

const isWindows = ({ spec }: PodTemplate): boolean => textAt(spec, 'os', 'name') === 'windows'
const security = (of: Container, ...path: Path): unknown => at(of.container, 'securityContext', ...path)
const podSecurity = (pod: PodTemplate, ...path: Path): unknown => at(pod.spec, 'securityContext', ...path)
const all = ({ pods }: Manifests): Container[] => pods.flatMap(containersOf)

/** At the field where it is there, else as near to it as there is something. */
const inContainer = ({ pod, path }: Container, field: Path, message: string): Break => ({
  object: pod.object,
  path: [...path, ...field],
  message,
})
const inPod = (pod: PodTemplate, field: Path, message: string): Break => ({
  object: pod.object,
  path: [...pod.path, 'spec', ...field],
  message,
})

/** Security contexts of pods and of their containers, for what may stand in both. */
function* contexts({
  pods,
}: Manifests): Generator<{ readonly context: unknown; readonly who: string; readonly say: (field: Path, message: string) => Break }> {
  for (const pod of pods) {
    yield {
      context: podSecurity(pod),
      who: 'the pod',
      say: (field, message) => inPod(pod, ['securityContext', ...field], message),
    }
    for (const of of containersOf(pod))
      yield {
        context: security(of),
        who: `container ${of.name}`,
        say: (field, message) => inContainer(of, ['securityContext', ...field], message),
      }
  }
}

function* hostPlaces(of: Container): Generator<Path> {
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'])
    for (const kind of ['httpGet', 'tcpSocket']) if (textAt(of.container, probe, kind, 'host') !== undefined) yield [probe, kind, 'host']
  for (const hook of ['postStart', 'preStop'])
    for (const kind of ['httpGet', 'tcpSocket'])
      if (textAt(of.container, 'lifecycle', hook, kind, 'host') !== undefined) yield ['lifecycle', hook, kind, 'host']
}

/** What no pod of an application needs: the level baseline. */
const BASELINE_RULES: readonly Rule[] = [
  {
    id: 'host-namespaces',
    severity: 'error',
    what: 'Pods have a network, processes and memory of their own.',
    why: 'With hostNetwork, hostPID or hostIPC a pod sees the traffic and the processes of the node and of all other pods on it, past every network policy.',
    readMore: READ_MORE,
    *check({ pods }) {
      for (const pod of pods)
        for (const field of ['hostNetwork', 'hostPID', 'hostIPC'])
          if (at(pod.spec, field) === true) yield inPod(pod, [field], `${field} shares the node with the pod: leave it out`)
    },
  },
  {
    id: 'privileged',
    severity: 'error',
    what: 'No container is privileged.',
    why: 'A privileged container is root on the node: whoever gets into it has all pods and all secrets of that node. Devices need no privilege where their plugin hands them out.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const of of all(manifests))
        if (security(of, 'privileged') === true)
          yield inContainer(of, ['securityContext', 'privileged'], `container ${of.name} is root on the node: leave privileged out`)
    },
  },
  {
    id: 'host-path',
    severity: 'error',
    what: 'No folder of the node is mounted.',
    why: 'What a pod writes there other pods read, what the kubelet keeps there the pod reads, and on the next node the folder is another.',
    readMore: READ_MORE,
    *check({ pods }) {
      for (const pod of pods)
        for (const [index, volume] of listAt(pod.spec, 'volumes').entries())
          if (at(volume, 'hostPath') !== undefined)
            yield inPod(
              pod,
              ['volumes', index, 'hostPath'],
              `volume ${textAt(volume, 'name') ?? index} is ${textAt(volume, 'hostPath', 'path') ?? 'a folder'} of the node: use a claim, an image volume or emptyDir`,
            )
    },
  },
  {
    id: 'host-port',
    severity: 'error',
    what: 'No container takes a port of the node.',
    why: 'Two such pods cannot be on one node, so that updates and scaling wait, and the port is open past every Service.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const of of all(manifests))
        for (const [index, port] of listAt(of.container, 'ports').entries())
          if ((numberAt(port, 'hostPort') ?? 0) !== 0)
            yield inContainer(
              of,
              ['ports', index, 'hostPort'],
              `container ${of.name} takes port ${wordOf(at(port, 'hostPort'))} of the node: use a Service`,
            )
    },
  },
  {
    id: 'probe-host',
    severity: 'error',
    what: 'Probes and hooks ask the pod itself.',
    why: 'With `host` the kubelet asks whatever that names from the node, so that a pod reaches what its network policy forbids; the standard forbids it since 1.34.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const of of all(manifests))
        for (const path of hostPlaces(of))
          yield inContainer(of, path, `${path[0] === 'lifecycle' ? path[1] : path[0]} of container ${of.name} names a host: leave it out`)
    },
  },
  {
    id: 'unsafe-options',
    severity: 'error',
    what: 'What protects the node from containers is as it comes: seccomp, AppArmor, SELinux, /proc, sysctls.',
    why: 'Each of these stands between a fault in a library and the kernel of the node; the level baseline refuses pods that turn one off.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { context, who, say } of contexts(manifests)) {
        if (textAt(context, 'seccompProfile', 'type') === 'Unconfined')
          yield say(['seccompProfile', 'type'], `${who} has no seccomp filter: use RuntimeDefault`)
        if (textAt(context, 'appArmorProfile', 'type') === 'Unconfined')
          yield say(['appArmorProfile', 'type'], `${who} has no AppArmor profile: leave it out`)
        const { type, user, role } = mapAt(context, 'seLinuxOptions')
        if (!SELINUX_TYPES.has(type as string) || (user ?? '') !== '' || (role ?? '') !== '')
          yield say(['seLinuxOptions'], `${who} asks for an SELinux label other than that of containers`)
        if (![undefined, 'Default'].includes(textAt(context, 'procMount')))
          yield say(['procMount'], `${who} sees all of /proc: leave procMount out`)
        if (at(context, 'windowsOptions', 'hostProcess') === true)
          yield say(['windowsOptions', 'hostProcess'], `${who} is a process of the host`)
        for (const [index, sysctl] of listAt(context, 'sysctls').entries())
          if (!SAFE_SYSCTLS.has(textAt(sysctl, 'name') ?? ''))
            yield say(['sysctls', index], `the sysctl ${textAt(sysctl, 'name')} is one of the node`)
      }
      for (const { object, path, annotations } of manifests.pods)
        for (const [key, value] of Object.entries(annotations))
          if (
            key.startsWith('container.apparmor.security.beta.kubernetes.io/') &&
            !/^(runtime\/default|localhost\/.*)?$/.test(wordOf(value))
          )
            yield {
              object,
              path: [...path, 'metadata', 'annotations', key],
              message: 'a container has no AppArmor profile: leave the annotation out',
            }
    },
  },
]

/** Hardening that costs a server nothing: the level restricted. */
const RESTRICTED_RULES: readonly Rule[] = [
  {
    id: 'non-root',
    severity: 'warning',
    what: 'Containers run as somebody other than root, and say so.',
    why: 'Root in a container is root for every fault of the kernel and of the runtime. Images without a numeric user are refused where nothing but runAsNonRoot is said, so name one.',
    readMore: READ_MORE,
    *check({ pods }) {
      for (const pod of pods) {
        const ofPod = podSecurity(pod, 'runAsNonRoot')
        if (podSecurity(pod, 'runAsUser') === 0) yield inPod(pod, ['securityContext', 'runAsUser'], 'runAsUser 0 is root')
        if (ofPod === false) yield inPod(pod, ['securityContext', 'runAsNonRoot'], 'runAsNonRoot is false')
        for (const of of containersOf(pod)) {
          const own = security(of, 'runAsNonRoot')
          if (security(of, 'runAsUser') === 0)
            yield inContainer(of, ['securityContext', 'runAsUser'], `container ${of.name} runs as root: runAsUser 0`)
          if (own === false || ((own === undefined || own === null) && ofPod !== true && ofPod !== false))
            yield inContainer(
              of,
              ['securityContext', 'runAsNonRoot'],
              `container ${of.name} may run as root: set runAsNonRoot true, for the pod or for it`,
            )
        }
      }
    },
  },
  {
    id: 'privilege-escalation',
    severity: 'warning',
    what: 'Containers cannot get more rights than they start with.',
    why: 'Without allowPrivilegeEscalation false a setuid program in the image makes root of any user.',
    readMore: READ_MORE,
    *check({ pods }) {
      for (const pod of pods.filter((one) => !isWindows(one)))
        for (const of of containersOf(pod))
          if (security(of, 'allowPrivilegeEscalation') !== false)
            yield inContainer(
              of,
              ['securityContext', 'allowPrivilegeEscalation'],
              `container ${of.name} may get more rights: set allowPrivilegeEscalation false`,
            )
    },
  },
  {
    id: 'capabilities',
    severity: 'warning',
    what: 'Containers drop all capabilities, and add none but NET_BIND_SERVICE.',
    why: 'A runtime gives fourteen capabilities to every container, among them raw sockets and changing owners; a model server needs none.',
    readMore: READ_MORE,
    *check({ pods }) {
      for (const pod of pods)
        for (const of of containersOf(pod)) {
          if (!isWindows(pod) && !listAt(security(of, 'capabilities'), 'drop').includes('ALL'))
            yield inContainer(
              of,
              ['securityContext', 'capabilities'],
              `container ${of.name} keeps capabilities: set capabilities.drop to [ALL]`,
            )
          for (const [index, name] of listAt(security(of, 'capabilities'), 'add').entries())
            if (name !== 'NET_BIND_SERVICE' && !(isWindows(pod) && BASELINE_CAPABILITIES.has(wordOf(name))))
              yield inContainer(
                of,
                ['securityContext', 'capabilities', 'add', index],
                `container ${of.name} adds the capability ${wordOf(name)}`,
              )
        }
    },
  },
  {
    id: 'seccomp-profile',
    severity: 'warning',
    what: 'Calls of the kernel are filtered: seccompProfile RuntimeDefault.',
    why: 'Most escapes from containers use calls that no server makes; without a profile all of them are open.',
    readMore: READ_MORE,
    *check({ pods }) {
      const isFiltered = (type: unknown): boolean => type === 'RuntimeDefault' || type === 'Localhost'
      for (const pod of pods.filter((one) => !isWindows(one)))
        for (const of of containersOf(pod)) {
          const own = security(of, 'seccompProfile', 'type')
          // Unconfined is an error of its own.
          if (own !== 'Unconfined' && !isFiltered(own ?? podSecurity(pod, 'seccompProfile', 'type')))
            yield inContainer(
              of,
              ['securityContext'],
              `container ${of.name} has no seccomp profile: set seccompProfile.type RuntimeDefault, best for the pod`,
            )
        }
    },
  },
  {
    id: 'volume-types',
    severity: 'warning',
    what: 'Volumes are of the kinds that a restricted namespace admits.',
    why: 'Others mount what the cluster does not control, and pods with them are refused where the restricted standard is enforced.',
    readMore: READ_MORE,
    *check({ pods }) {
      for (const pod of pods)
        for (const [index, volume] of listAt(pod.spec, 'volumes').entries()) {
          const kind = Object.keys(mapAt(volume)).find((key) => key !== 'name')
          // A volume without a kind is an emptyDir, and a folder of the node has a rule of its own.
          if (kind !== undefined && kind !== 'hostPath' && !VOLUME_TYPES.has(kind))
            yield inPod(
              pod,
              ['volumes', index, kind],
              `volume ${textAt(volume, 'name') ?? index} is of the kind ${kind}: use a claim (persistentVolumeClaim)`,
            )
        }
    },
  },
]

/** Beside the standard. */
const ROOT_FOLDER_RULES: readonly Rule[] = [
  {
    id: 'read-only-root',
    severity: 'advice',
    what: 'The root folder of containers cannot be written.',
    why: 'Whoever gets in can change no program and leave nothing behind; and what a server writes beside its volumes counts as memory or disk of the node.',
    readMore: 'https://kubernetes.io/docs/tasks/configure-pod-container/security-context/',
    *check(manifests) {
      for (const of of all(manifests))
        if (of.role !== 'ephemeral' && security(of, 'readOnlyRootFilesystem') !== true)
          yield inContainer(
            of,
            ['securityContext', 'readOnlyRootFilesystem'],
            `container ${of.name} can write its root folder: set readOnlyRootFilesystem true, and mount what it writes`,
          )
    },
  },
  {
    id: 'read-only-tmp',
    severity: 'warning',
    what: 'A container whose root folder cannot be written has a /tmp that can.',
    why: 'Libraries put sockets, caches and unpacked models there: with a root that cannot be written the server does not start, or fails at the first large request.',
    readMore: 'https://kubernetes.io/docs/concepts/storage/volumes/#emptydir',
    *check(manifests) {
      for (const of of all(manifests)) {
        const hasTmp = listAt(of.container, 'volumeMounts').some(
          (mount) => /^\/tmp\/?$/.test(textAt(mount, 'mountPath') ?? '') && at(mount, 'readOnly') !== true,
        )
        if (security(of, 'readOnlyRootFilesystem') === true && !hasTmp && of.role === 'main')
          yield inContainer(of, ['volumeMounts'], `container ${of.name} cannot write /tmp: mount an emptyDir there`)
      }
    },
  },
]

export const POD_SECURITY_RULES: readonly Rule[] = [...BASELINE_RULES, ...RESTRICTED_RULES, ...ROOT_FOLDER_RULES]
