import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { ROOT } from '../fixtures.ts'
import type { ChildProcess } from 'node:child_process'
import type { Container, Pod, Probe } from './pod-spec.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

/** What an image of the tests holds. */
export interface FakeImage {
  /** Folders of this machine by their path in the image. */
  readonly folders?: Readonly<Record<string, string>>
  readonly environment?: Readonly<Record<string, string>>
  /** Words after the entry point where a container says none. */
  readonly args?: readonly string[]
}

/** State of the one container of a pod. */
export interface ContainerState {
  readonly running?: { readonly startedAt: string }
  readonly waiting?: { readonly reason: string; readonly message?: string }
  readonly terminated?: { readonly exitCode: number; readonly reason: string; readonly finishedAt: string }
  readonly last?: ContainerState['terminated']
  readonly restarts: number
  readonly started: boolean
  readonly ready: boolean
}

export interface PodProcess extends AsyncDisposable {
  state(): ContainerState
  /** Process of the container; undefined while none runs. */
  pid(): number | undefined
  said(): string
  /** preStop, SIGTERM, and SIGKILL once the grace is over; then it is over. */
  end(graceSeconds: number): Promise<void>
}

interface PodProcessOptions {
  readonly cluster: KubernetesCluster
  readonly pod: Pod
  readonly images: Readonly<Record<string, FakeImage>>
  /** Loopback address that stands for the pod's own. */
  readonly address: string
  readonly podIp: string
  readonly changed: () => void
}

const FIRST_BACKOFF_MS = 1000
const BACKOFF_MAX_MS = 10_000
const SAID_MAX = 100_000
/** Words by which the program of a container begins: before them stands how it is called. */
const COMMANDS = new Set(['serve', 'mesh-weights', 'metrics-adapter'])

/** Runs the container of a pod as a process, as a kubelet would. Probes, restarts and the end go by the pod's spec. */
export function runPod(options: PodProcessOptions): PodProcess {
  const { pod, changed } = options
  const [container] = pod.spec.containers
  if (container === undefined || pod.spec.containers.length > 1 || (pod.spec.initContainers ?? []).length > 0)
    throw new Error(`nodes of the tests run pods with one container, and ${pod.metadata.name} has another number`)
  let state: ContainerState = { waiting: { reason: 'ContainerCreating' }, restarts: 0, started: false, ready: false }
  let child: ChildProcess | undefined
  let said = ''
  let folder: string | undefined
  const over = new AbortController()
  const update = (next: Partial<ContainerState>): void => {
    const before = JSON.stringify(state)
    const { running: _, waiting: __, terminated: ___, ...kept } = state
    const moves = next.running !== undefined || next.waiting !== undefined || next.terminated !== undefined
    state = { ...(moves ? kept : state), ...next }
    if (JSON.stringify(state) !== before) changed()
  }

  const once = async (): Promise<void> => {
    folder ??= await mkdtemp(join(options.cluster.folder, 'pod-'))
    const { words, environment } = await programOf(options, container, folder)
    if (over.signal.aborted) return
    const running = spawn('setpriv', ['--pdeathsig', 'SIGKILL', process.execPath, join(ROOT, 'bin/slipway'), ...words], {
      env: environment,
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child = running
    for (const stream of [running.stdout, running.stderr])
      stream.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-SAID_MAX)))
    update({ running: { startedAt: now() }, started: container.startupProbe === undefined, ready: false })
    const probing = new AbortController()
    const probes = watchProbes({ container, address: options.address, signal: probing.signal, update, kill: () => running.kill('SIGTERM') })
    const exitCode = await new Promise<number>((resolve) => {
      running.once('error', () => resolve(128))
      running.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)))
    })
    probing.abort()
    await probes
    child = undefined
    update({
      terminated: { exitCode, reason: exitCode === 0 ? 'Completed' : 'Error', finishedAt: now() },
      ready: false,
      started: false,
    })
  }

  const life = (async (): Promise<void> => {
    for (let backoffMs = FIRST_BACKOFF_MS; !over.signal.aborted; backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS)) {
      const missing = [
        container.image,
        ...(pod.spec.volumes ?? []).flatMap(({ image }) => (image === undefined ? [] : [image.reference])),
      ].find((image) => options.images[image] === undefined)
      if (missing === undefined) {
        await once().catch((error: unknown) => {
          update({ waiting: { reason: 'CreateContainerConfigError', message: error instanceof Error ? error.message : String(error) } })
        })
      } else update({ waiting: { reason: 'ImagePullBackOff', message: `Back-off pulling image "${missing}": not found` } })
      if (over.signal.aborted) return
      const last = state.terminated
      if (last !== undefined) {
        const message = `back-off ${backoffMs / 1000}s restarting failed container=${container.name}`
        update({ waiting: { reason: 'CrashLoopBackOff', message }, last, restarts: state.restarts })
      }
      await pause(backoffMs, undefined, { signal: over.signal }).catch(() => {})
      if (last !== undefined && !over.signal.aborted) update({ restarts: state.restarts + 1 })
    }
  })()

  const clean = async (): Promise<void> => {
    await life
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }
  return {
    state: () => state,
    pid: () => child?.pid,
    said: () => said,
    async end(graceSeconds) {
      const late = setTimeout(() => child?.kill('SIGKILL'), graceSeconds * 1000)
      const sleep = child === undefined ? 0 : (container.lifecycle?.preStop?.sleep?.seconds ?? 0)
      await pause(Math.min(sleep, graceSeconds) * 1000)
      over.abort()
      child?.kill('SIGTERM')
      await clean()
      clearTimeout(late)
    },
    async [Symbol.asyncDispose]() {
      over.abort()
      child?.kill('SIGKILL')
      await clean()
    },
  }
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z')
}

/** What runs for a container: its words and environment, with paths of the image and of volumes made ones of this machine. */
async function programOf(
  options: PodProcessOptions,
  container: Container,
  folder: string,
): Promise<{ words: string[]; environment: Record<string, string> }> {
  const { pod, images, address, cluster } = options
  const image = images[container.image] ?? {}
  const places: [path: string, folder: string][] = Object.entries(image.folders ?? {})
  const files: { readonly path: string; readonly text: string }[] = []
  const { namespace } = pod.metadata
  const valuesOf = async (kind: 'configmaps' | 'secrets', name: string): Promise<Record<string, string> | undefined> => {
    const { status, body } = await cluster.request('GET', `/api/v1/namespaces/${namespace}/${kind}/${name}`)
    if (status !== 200) return undefined
    const data = (body['data'] ?? {}) as Record<string, string>
    if (kind === 'configmaps') return data
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]))
  }
  const needed = async (kind: 'configmaps' | 'secrets', name: string, optional = false): Promise<Record<string, string>> => {
    const values = await valuesOf(kind, name)
    if (values === undefined && !optional) throw new Error(`${kind === 'secrets' ? 'secret' : 'configmap'} "${name}" not found`)
    return values ?? {}
  }
  for (const { name, mountPath, subPath } of container.volumeMounts ?? []) {
    const volume = pod.spec.volumes?.find((one) => one.name === name)
    const inImage = volume?.image === undefined ? undefined : images[volume.image.reference]?.folders?.['/']
    const at = inImage ?? join(folder, 'volumes', name)
    places.push([mountPath, subPath === undefined ? at : join(at, subPath)])
    if (inImage !== undefined) continue
    await mkdir(at, { recursive: true })
    const { configMap, secret } = volume ?? {}
    const values = {
      ...(configMap !== undefined && (await needed('configmaps', configMap.name, configMap.optional))),
      ...(secret !== undefined && (await needed('secrets', secret.secretName, secret.optional))),
    }
    for (const [key, text] of Object.entries(values)) files.push({ path: join(at, key), text })
  }
  places.sort(([a], [b]) => b.length - a.length)
  // Pods share the loopback interface: each listens on an address of its own, so that ports stay what they are.
  const all = places.map(([path]) => RegExp.escape(path)).join('|')
  const paths = new RegExp(String.raw`(?<![\w./-])(?:${all})(?![\w.-])`, 'g')
  const local = (text: string): string => {
    const here = text.replaceAll('0.0.0.0', address)
    // In one pass: folders of this machine may begin as those of the image do.
    return all === '' ? here : here.replaceAll(paths, (path) => places.find(([one]) => one === path)?.[1] ?? path)
  }
  for (const { path, text } of files) {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, local(text))
  }

  // Where a server file says on what to listen, that is what is tried.
  const hasFile = container.env?.some(({ name }) => name === 'SLIPWAY_CONFIG') === true
  const environment: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    ...(!hasFile && { SLIPWAY_HOST: address }),
    ...image.environment,
  }
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef !== undefined) Object.assign(environment, await needed('configmaps', configMapRef.name))
    if (secretRef !== undefined) Object.assign(environment, await needed('secrets', secretRef.name))
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom ?? {}
    if (value !== undefined) environment[name] = value
    else if (fieldRef !== undefined) environment[name] = fieldOf(options, fieldRef.fieldPath)
    else if (resourceFieldRef !== undefined)
      environment[name] = container.resources?.limits?.[resourceFieldRef.resource.replace(/^\w+\./, '')] ?? '1'
    else if (configMapKeyRef !== undefined)
      environment[name] = (await needed('configmaps', configMapKeyRef.name, configMapKeyRef.optional))[configMapKeyRef.key] ?? ''
    else if (secretKeyRef !== undefined)
      environment[name] = (await needed('secrets', secretKeyRef.name, secretKeyRef.optional))[secretKeyRef.key] ?? ''
  }
  for (const [name, value] of Object.entries(environment)) environment[name] = name === 'PATH' ? value : local(value)
  const words = [...(container.command ?? []), ...(container.args ?? (container.command === undefined ? (image.args ?? []) : []))]
  const first = words.findIndex((word) => COMMANDS.has(word))
  if (first < 0) throw new Error(`"${words.join(' ')}" is no command of slipway that the nodes of the tests run`)
  return { words: words.slice(first).map((word) => expand(local(word), environment)), environment }
}

function expand(word: string, environment: Readonly<Record<string, string>>): string {
  return word.replaceAll(/\$\(([A-Za-z_]\w*)\)/g, (whole, name: string) => environment[name] ?? whole)
}

function fieldOf({ pod, address }: PodProcessOptions, path: string): string {
  const label = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path)
  if (label !== null) return (label[1] === 'labels' ? pod.metadata.labels : pod.metadata.annotations)?.[label[2] ?? ''] ?? ''
  const fields: Readonly<Record<string, string>> = {
    'metadata.name': pod.metadata.name,
    'metadata.namespace': pod.metadata.namespace,
    'metadata.uid': pod.metadata.uid,
    'spec.nodeName': pod.spec.nodeName ?? '',
    // What listens on it has to have it.
    'status.podIP': address,
    'status.hostIP': '127.0.0.1',
  }
  return fields[path] ?? ''
}

interface Probing {
  readonly container: Container
  readonly address: string
  readonly signal: AbortSignal
  readonly update: (next: Partial<ContainerState>) => void
  readonly kill: () => void
}

/** Startup first, then readiness and liveness side by side. */
async function watchProbes({ container, address, signal, update, kill }: Probing): Promise<void> {
  const { startupProbe, readinessProbe, livenessProbe } = container
  const loop = async (probe: Probe, seen: (passes: boolean, inARow: number) => 'on' | 'done'): Promise<void> => {
    await pause((probe.initialDelaySeconds ?? 0) * 1000, undefined, { signal })
    for (let before: boolean | undefined, inARow = 0; ;) {
      const passes = await passesProbe(probe, container, address)
      if (signal.aborted) return
      inARow = passes === before ? inARow + 1 : 1
      before = passes
      if (seen(passes, inARow) === 'done') return
      await pause((probe.periodSeconds ?? 10) * 1000, undefined, { signal })
    }
  }
  try {
    if (startupProbe !== undefined)
      await loop(startupProbe, (passes, inARow) => {
        if (passes) return 'done'
        if (inARow >= (startupProbe.failureThreshold ?? 3)) kill()
        return 'on'
      })
    if (signal.aborted) return
    update({ started: true, ...(readinessProbe === undefined && { ready: true }) })
    await Promise.all([
      readinessProbe !== undefined &&
        loop(readinessProbe, (passes, inARow) => {
          if (passes && inARow >= (readinessProbe.successThreshold ?? 1)) update({ ready: true })
          if (!passes && inARow >= (readinessProbe.failureThreshold ?? 3)) update({ ready: false })
          return 'on'
        }),
      livenessProbe !== undefined &&
        loop(livenessProbe, (passes, inARow) => {
          if (!passes && inARow >= (livenessProbe.failureThreshold ?? 3)) kill()
          return 'on'
        }),
    ])
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

async function passesProbe({ httpGet, tcpSocket, timeoutSeconds = 1 }: Probe, container: Container, host: string): Promise<boolean> {
  const named = httpGet?.port ?? tcpSocket?.port
  const port = typeof named === 'number' ? named : container.ports?.find(({ name }) => name === named)?.containerPort
  // Other machines are slower than the one that the time-outs are for: tests assert no absolute times.
  const timeout = Math.max(timeoutSeconds, 5) * 1000
  const { promise, resolve } = Promise.withResolvers<boolean>()
  if (httpGet === undefined) {
    const socket = connect({ host, port: port ?? 0, timeout }, () => resolve(true))
    socket.once('error', () => resolve(false)).once('timeout', () => resolve(false))
    return await promise.finally(() => socket.destroy())
  }
  const headers = Object.fromEntries((httpGet.httpHeaders ?? []).map(({ name, value }) => [name, value]))
  const asked = get({ host, port, path: httpGet.path ?? '/', timeout, headers, agent: false }, ({ statusCode = 0 }) => {
    resolve(statusCode >= 200 && statusCode < 400)
  })
  asked.once('error', () => resolve(false)).once('timeout', () => resolve(false))
  return await promise.finally(() => asked.destroy())
}
