// A plan, and a site with a staging slot for each flow.
import { modelType, namesType, planType, settingsType, siteType } from '../types.bicep'

param names namesType
param settings settingsType
param models modelType[]
param plan planType
param sites siteType[]
param keyed bool

var roles = loadJsonContent('../../deploy/infra/roles.json')

module slotRunner 'runner.bicep' = {
  name: 'slot-runner'
  params: { name: names.slotIdentity, names: names, settings: settings, models: models }
}

resource farm 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: names.plan
  location: settings.location
  tags: settings.tags
  kind: 'linux'
  sku: { name: plan.sku, capacity: plan.minimum }
  properties: {
    reserved: true
    zoneRedundant: settings.zoneRedundant
  }
}

resource scaling 'Microsoft.Insights/autoscalesettings@2022-10-01' = if (plan.maximum > plan.minimum) {
  name: names.autoscale
  location: settings.location
  tags: settings.tags
  properties: {
    enabled: true
    targetResourceUri: farm.id
    profiles: [
      {
        name: 'by load'
        capacity: {
          minimum: string(plan.minimum)
          maximum: string(plan.maximum)
          default: string(plan.minimum)
        }
        rules: [
          {
            metricTrigger: {
              metricName: 'CpuPercentage'
              metricResourceUri: farm.id
              timeGrain: 'PT1M'
              statistic: 'Average'
              timeWindow: 'PT5M'
              timeAggregation: 'Average'
              operator: 'GreaterThan'
              threshold: 70
            }
            scaleAction: { direction: 'Increase', type: 'ChangeCount', value: '1', cooldown: 'PT5M' }
          }
          {
            metricTrigger: {
              metricName: 'CpuPercentage'
              metricResourceUri: farm.id
              timeGrain: 'PT1M'
              statistic: 'Average'
              timeWindow: 'PT10M'
              timeAggregation: 'Average'
              operator: 'LessThan'
              threshold: 30
            }
            scaleAction: { direction: 'Decrease', type: 'ChangeCount', value: '1', cooldown: 'PT10M' }
          }
        ]
      }
    ]
  }
}

module each 'site.bicep' = [
  for site in sites: {
    name: 'site-${site.flow}'
    params: { names: names, settings: settings, site: site }
    dependsOn: [farm, slotRunner]
  }
]

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: names.vault
}

resource deployer 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.deployer
}

resource readsKeys 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (keyed) {
  name: guid(vault.id, deployer.id, roles['Key Vault Secrets User'])
  scope: vault
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Key Vault Secrets User'])
    description: 'the sample is scored with the clients\' key, which is in the vault'
  }
}

output slotIdentity string = slotRunner.outputs.id
