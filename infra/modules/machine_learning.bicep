// A workspace for managed online endpoints. Endpoints and deployments are made by `inv deploy`.
import { modelType, namesType, settingsType } from '../types.bicep'

param names namesType
param settings settingsType
param models modelType[]

@description('Whether a flow scales by itself: its rule is written by the deploy.')
param scales bool

var roles = loadJsonContent('../../deploy/infra/roles.json')

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: names.registry
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: names.insights
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: names.logs
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: names.vault
}

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: names.openai
}

resource runner 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.runner
}

resource deployer 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.deployer
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: names.workspaceIdentity
  location: settings.location
  tags: settings.tags
}

module storage 'storage.bicep' = {
  name: 'storage'
  params: { names: names, settings: settings }
}

// A vault of its own: the workspace must administer it, and so should not see the flows' secrets.
module ownVault 'vault.bicep' = {
  name: 'workspace-vault'
  params: { name: names.workspaceVault, names: names, settings: settings }
}

resource workspaceVault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: names.workspaceVault
}

resource storageAccount 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: names.storage
}

// What a workspace with an identity of yours needs: "Set up authentication between Azure Machine
// Learning and other services", user-assigned managed identity.
resource managesStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storageAccount.id, identity.id, roles['Contributor'])
  scope: storageAccount
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Contributor'])
    description: 'the workspace manages its storage'
  }
  dependsOn: [storage]
}

resource writesStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storageAccount.id, identity.id, roles['Storage Blob Data Contributor'])
  scope: storageAccount
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Blob Data Contributor'])
    description: 'the workspace keeps its files in its storage, without keys'
  }
  dependsOn: [storage]
}

resource managesVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceVault.id, identity.id, roles['Contributor'])
  scope: workspaceVault
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Contributor'])
    description: 'the workspace manages its own vault'
  }
  dependsOn: [ownVault]
}

resource administersVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceVault.id, identity.id, roles['Key Vault Administrator'])
  scope: workspaceVault
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Key Vault Administrator'])
    description: 'the workspace keeps the credentials of its connections in its own vault'
  }
  dependsOn: [ownVault]
}

resource managesRegistry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, identity.id, roles['Contributor'])
  scope: registry
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Contributor'])
    description: 'the workspace manages the registry that it is linked to'
  }
}

resource managesInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, identity.id, roles['Contributor'])
  scope: insights
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Contributor'])
    description: 'the workspace manages the Application Insights that it is linked to'
  }
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' = {
  name: names.workspace
  location: settings.location
  tags: settings.tags
  kind: 'Default'
  sku: { name: 'Basic', tier: 'Basic' }
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    friendlyName: names.workspace
    primaryUserAssignedIdentity: identity.id
    storageAccount: storageAccount.id
    keyVault: workspaceVault.id
    containerRegistry: registry.id
    applicationInsights: insights.id
    systemDatastoresAuthMode: 'Identity'
    v1LegacyMode: false
    publicNetworkAccess: settings.private ? 'Disabled' : 'Enabled'
    // Otherwise with the first compute, which there may never be.
    provisionNetworkNow: settings.private
    // What endpoints ask for then: the workspace's own resources, the flows' vault, the model.
    managedNetwork: settings.private
      ? {
          isolationMode: 'AllowOnlyApprovedOutbound'
          outboundRules: union(
            {
              vault: {
                type: 'PrivateEndpoint'
                destination: { serviceResourceId: vault.id, subresourceTarget: 'vault' }
              }
              monitor: {
                type: 'ServiceTag'
                destination: { serviceTag: 'AzureMonitor', protocol: 'TCP', portRanges: '443' }
              }
            },
            empty(models)
              ? {}
              : {
                  openai: {
                    type: 'PrivateEndpoint'
                    destination: { serviceResourceId: account.id, subresourceTarget: 'account' }
                  }
                }
          )
        }
      : { isolationMode: 'Disabled' }
  }
  dependsOn: [
    managesStorage
    writesStorage
    managesVault
    administersVault
    managesRegistry
    managesInsights
    approvesVault
    approvesModel
  ]
}

module endpoint 'endpoint.bicep' = if (settings.private) {
  name: 'endpoint-workspace'
  params: {
    names: names
    settings: settings
    target: workspace.id
    name: workspace.name
    groupId: 'amlworkspace'
    zones: ['privatelink.api.azureml.ms', 'privatelink.notebooks.azure.net']
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-logs'
  scope: workspace
  properties: {
    workspaceId: logs.id
    logs: [{ categoryGroup: 'audit', enabled: true }]
  }
}

resource managesItself 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, identity.id, roles['Contributor'])
  scope: workspace
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Contributor'])
    description: 'the workspace manages what is in it'
  }
}

resource approvesVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (settings.private) {
  name: guid(vault.id, identity.id, roles['Azure AI Enterprise Network Connection Approver'])
  scope: vault
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Azure AI Enterprise Network Connection Approver'])
    description: 'the private endpoint from the managed network to the vault is approved by the workspace'
  }
}

resource approvesModel 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (settings.private && !empty(models)) {
  name: guid(account.id, identity.id, roles['Azure AI Enterprise Network Connection Approver'])
  scope: account
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Azure AI Enterprise Network Connection Approver'])
    description: 'the private endpoint from the managed network to the model is approved by the workspace'
  }
}

resource readsStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storageAccount.id, runner.id, roles['Storage Blob Data Reader'])
  scope: storageAccount
  properties: {
    principalId: runner.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Blob Data Reader'])
    description: 'an endpoint with this identity reads what the service keeps for it'
  }
  dependsOn: [storage]
}

resource readsConnections 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, runner.id, roles['Azure Machine Learning Workspace Connection Secrets Reader'])
  scope: workspace
  properties: {
    principalId: runner.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Azure Machine Learning Workspace Connection Secrets Reader'])
    description: 'the flow gets the credentials of connections when it starts'
  }
}

resource deploys 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, deployer.id, roles['AzureML Data Scientist'])
  scope: workspace
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['AzureML Data Scientist'])
    description: 'inv deploy creates endpoints and deployments'
  }
}

resource scalesDeployments 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (scales) {
  name: guid(resourceGroup().id, deployer.id, roles['Monitoring Contributor'])
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Monitoring Contributor'])
    description: 'the rule that scales a deployment is written with it'
  }
}

output workspace string = workspace.name
