// Written by `inv infra.plan --env dev`, from environments.yaml
// and the flows' deploy.yaml: change those. For subscription 00000000-0000-0000-0000-000000000000.
using 'azureml.bicep'

param names = {
  group: 'rg-flows-dev'
  budget: 'budget-flows-dev'
  logs: 'log-flows-dev'
  insights: 'appi-flows-dev'
  alerts: 'ag-flows-dev'
  registry: 'crflowsdevdemo1'
  vault: 'kv-flows-dev-demo1'
  openai: 'oai-flows-dev-demo1'
  deployer: 'id-flows-dev-deploy'
  runner: 'id-flows-dev-run'
  network: 'vnet-flows-dev'
  storage: 'stflowsdevdemo1'
  workspaceVault: 'kvml-flows-dev-demo1'
  workspaceIdentity: 'id-flows-dev-workspace'
  workspace: 'mlw-flows-dev'
  slotIdentity: 'id-flows-dev-slot'
  plan: 'asp-flows-dev'
  autoscale: 'asp-flows-dev-by-load'
}
param settings = {
  location: 'westeurope'
  tags: {
    'flow-deploy.workload': 'flows'
    'flow-deploy.environment': 'dev'
    owner: 'team-flows'
  }
  private: false
  addresses: '10.20.0.0/24'
  zoneRedundant: false
  logDays: 30
  contacts: [
    'flows@contoso.example'
  ]
}
param federations = [
  {
    name: 'github-dev'
    issuer: 'https://token.actions.githubusercontent.com'
    subject: 'repo:contoso/flows:environment:dev'
  }
  {
    name: 'github-dev-drift'
    issuer: 'https://token.actions.githubusercontent.com'
    subject: 'repo:contoso/flows:environment:dev-drift'
  }
]
param publishes = true
param promotesFrom = {
  subscription: ''
  group: ''
  registry: ''
}
param models = []
param budget = {
  amount: 300
  start: '2026-12-01'
}
param scales = false
