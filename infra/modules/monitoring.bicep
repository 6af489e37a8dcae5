// Logs and metrics in one workspace, who is told, and what may be spent.
import { budgetType, namesType, settingsType } from '../types.bicep'

param names namesType
param settings settingsType
param budget budgetType

resource logs 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: names.logs
  location: settings.location
  tags: settings.tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: settings.logDays
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

// Containers send telemetry by the connection string, so keys cannot be turned off here.
resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: names.insights
  location: settings.location
  tags: settings.tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
    IngestionMode: 'LogAnalytics'
    DisableIpMasking: false
  }
}

resource alerts 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: names.alerts
  location: 'global'
  tags: settings.tags
  properties: {
    groupShortName: 'flows'
    enabled: true
    emailReceivers: [
      for contact in settings.contacts: {
        name: contact
        emailAddress: contact
        useCommonAlertSchema: true
      }
    ]
  }
}

resource spending 'Microsoft.Consumption/budgets@2024-08-01' = if (budget.amount > 0) {
  name: names.budget
  properties: {
    category: 'Cost'
    amount: budget.amount
    timeGrain: 'Monthly'
    timePeriod: { startDate: budget.start }
    notifications: {
      nearly: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: settings.contacts
        contactRoles: ['Owner']
      }
      forecast: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: settings.contacts
        contactRoles: ['Owner']
      }
    }
  }
}
