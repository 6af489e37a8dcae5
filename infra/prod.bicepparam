// Written by `inv infra.plan --env prod`, from environments.yaml
// and the flows' deploy.yaml: change those. For subscription 00000000-0000-0000-0000-000000000000.
using 'appservice.bicep'

param names = {
  group: 'rg-flows-prod'
  budget: 'budget-flows-prod'
  logs: 'log-flows-prod'
  insights: 'appi-flows-prod'
  alerts: 'ag-flows-prod'
  registry: 'crflowsproddemo2'
  vault: 'kv-flows-prod-demo2'
  openai: 'oai-flows-prod-demo2'
  deployer: 'id-flows-prod-deploy'
  runner: 'id-flows-prod-run'
  network: 'vnet-flows-prod'
  storage: 'stflowsproddemo2'
  workspaceVault: 'kvml-flows-prod-demo2'
  workspaceIdentity: 'id-flows-prod-workspace'
  workspace: 'mlw-flows-prod'
  slotIdentity: 'id-flows-prod-slot'
  plan: 'asp-flows-prod'
  autoscale: 'asp-flows-prod-by-load'
}
param settings = {
  location: 'westeurope'
  tags: {
    'flow-deploy.workload': 'flows'
    'flow-deploy.environment': 'prod'
    owner: 'team-flows'
  }
  private: false
  addresses: '10.20.0.0/24'
  zoneRedundant: true
  logDays: 90
  contacts: [
    'flows@contoso.example'
  ]
}
param federations = [
  {
    name: 'github-prod'
    issuer: 'https://token.actions.githubusercontent.com'
    subject: 'repo:contoso/flows:environment:prod'
  }
  {
    name: 'github-prod-drift'
    issuer: 'https://token.actions.githubusercontent.com'
    subject: 'repo:contoso/flows:environment:prod-drift'
  }
]
param publishes = true
param promotesFrom = {
  subscription: '00000000-0000-0000-0000-000000000000'
  group: 'rg-flows-dev'
  registry: 'crflowsdevdemo1'
}
param models = []
param budget = {
  amount: 900
  start: '2026-12-01'
}
param plan = {
  sku: 'P0v3'
  minimum: 3
  maximum: 3
}
param sites = [
  {
    flow: 'faq'
    name: 'app-faq-prod-demo2'
    slot: 'staging'
  }
]
param app = 'app-{flow}-prod-demo2'
param keyed = true
