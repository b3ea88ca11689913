import { define as defineKubernetes } from './kubernetes.ts'
import type { Command } from 'commander'

export function define(command: Command): void {
  defineKubernetes(command.command('k8s').description('manifests of Kubernetes, of Slipway and of others'))
}
