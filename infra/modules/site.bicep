// The web app of one flow, with a slot that a new version starts in. Image and variables are not
// here: `inv deploy` sets them, and a later deployment of this file leaves them as they are.
import { namesType, settingsType, siteType } from '../types.bicep'

param names namesType
param settings settingsType
param site siteType

var roles = loadJsonContent('../../deploy/infra/roles.json')

resource plan 'Microsoft.Web/serverfarms@2025-03-01' existing = {
  name: names.plan
}

resource runner 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.runner
}

// Identities do not swap with what runs: the slot has its own.
resource slotRunner 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.slotIdentity
}

resource deployer 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.deployer
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' existing = {
  name: names.network
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: names.logs
}

resource alerts 'Microsoft.Insights/actionGroups@2023-01-01' existing = {
  name: names.alerts
}

var secure = {
  acrUseManagedIdentityCreds: true
  alwaysOn: true
  ftpsState: 'Disabled'
  http20Enabled: true
  minTlsVersion: '1.2'
  scmMinTlsVersion: '1.2'
  remoteDebuggingEnabled: false
}

var routing = {
  allTraffic: true
  imagePullTraffic: true
}

resource web 'Microsoft.Web/sites@2025-03-01' = {
  name: site.name
  location: settings.location
  tags: union(settings.tags, { 'flow-deploy.flow': site.flow })
  kind: 'app,linux,container'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${runner.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    publicNetworkAccess: settings.private ? 'Disabled' : 'Enabled'
    keyVaultReferenceIdentity: runner.id
    virtualNetworkSubnetId: settings.private ? '${network.id}/subnets/sites' : null
    outboundVnetRouting: settings.private ? routing : null
    siteConfig: union(secure, { acrUserManagedIdentityID: runner.properties.clientId })
  }
}

resource staging 'Microsoft.Web/sites/slots@2025-03-01' = {
  parent: web
  name: site.slot
  location: settings.location
  tags: union(settings.tags, { 'flow-deploy.flow': site.flow })
  kind: 'app,linux,container'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${slotRunner.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    publicNetworkAccess: settings.private ? 'Disabled' : 'Enabled'
    keyVaultReferenceIdentity: slotRunner.id
    virtualNetworkSubnetId: settings.private ? '${network.id}/subnets/sites' : null
    outboundVnetRouting: settings.private ? routing : null
    siteConfig: union(secure, { acrUserManagedIdentityID: slotRunner.properties.clientId })
  }
}

// No user and password to publish with: only roles.
resource noPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = [
  for name in ['ftp', 'scm']: {
    parent: web
    name: name
    properties: { allow: false }
  }
]

resource noPasswordsInStaging 'Microsoft.Web/sites/slots/basicPublishingCredentialsPolicies@2025-03-01' = [
  for name in ['ftp', 'scm']: {
    parent: staging
    name: name
    properties: { allow: false }
  }
]

// What containers say is kept for a week: without it nobody sees why one did not start.
resource output 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: web
  name: 'logs'
  properties: { httpLogs: { fileSystem: { enabled: true, retentionInDays: 7, retentionInMb: 35 } } }
}

resource outputOfStaging 'Microsoft.Web/sites/slots/config@2025-03-01' = {
  parent: staging
  name: 'logs'
  properties: { httpLogs: { fileSystem: { enabled: true, retentionInDays: 7, retentionInMb: 35 } } }
}

module endpoint 'endpoint.bicep' = if (settings.private) {
  name: 'endpoint-${site.flow}'
  params: {
    names: names
    settings: settings
    target: web.id
    name: web.name
    groupId: 'sites'
    zones: ['privatelink.azurewebsites.net']
  }
}

module endpointOfStaging 'endpoint.bicep' = if (settings.private) {
  name: 'endpoint-${site.flow}-slot'
  params: {
    names: names
    settings: settings
    target: web.id
    name: web.name
    groupId: 'sites-${site.slot}'
    zones: ['privatelink.azurewebsites.net']
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-logs'
  scope: web
  properties: {
    workspaceId: logs.id
    logs: [
      { category: 'AppServiceConsoleLogs', enabled: true }
      { category: 'AppServiceHTTPLogs', enabled: true }
      { category: 'AppServicePlatformLogs', enabled: true }
      { category: 'AppServiceAuditLogs', enabled: true }
    ]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

resource failing 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${site.name}-failing'
  location: 'global'
  tags: settings.tags
  properties: {
    description: 'More than 10 answers of 5xx in 5 minutes'
    severity: 2
    enabled: true
    scopes: [web.id]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'http5xx'
          criterionType: 'StaticThresholdCriterion'
          metricName: 'Http5xx'
          operator: 'GreaterThan'
          threshold: 10
          timeAggregation: 'Total'
        }
      ]
    }
    actions: [{ actionGroupId: alerts.id }]
  }
}

resource deploys 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(web.id, deployer.id, roles['Website Contributor'])
  scope: web
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Website Contributor'])
    description: 'inv deploy sets the image and the settings of the site and its slot'
  }
}
