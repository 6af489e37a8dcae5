// Flows on managed online endpoints of Azure Machine Learning.
targetScope = 'subscription'

import { budgetType, federationType, modelType, namesType, settingsType, sourceType } from 'types.bicep'

param names namesType
param settings settingsType
param federations federationType[]
param publishes bool
param promotesFrom sourceType
param models modelType[]
param budget budgetType
param scales bool

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: names.group
  location: settings.location
  tags: settings.tags
}

module shared 'modules/shared.bicep' = {
  name: 'shared'
  scope: group
  params: {
    names: names
    settings: settings
    federations: federations
    publishes: publishes
    promotesFrom: promotesFrom
    models: models
    budget: budget
    // Those that the option needs beside the shared ones.
    zones: [
      'privatelink.api.azureml.ms'
      'privatelink.notebooks.azure.net'
      'privatelink.blob.${az.environment().suffixes.storage}'
      'privatelink.file.${az.environment().suffixes.storage}'
    ]
  }
}

module machineLearning 'modules/machine_learning.bicep' = {
  name: 'machine-learning'
  scope: group
  params: {
    names: names
    settings: settings
    models: models
    scales: scales
  }
  dependsOn: [shared]
}

// What environments.yaml says of the environment, key by key.
output subscription string = subscription().subscriptionId
output resource_group string = group.name
output registry string = shared.outputs.registry
output identity string = shared.outputs.identity
output workspace string = machineLearning.outputs.workspace
