"""The pages. `visa.urls` includes them at the root."""

from django.urls import path

from instances.views import actions, desktop, detail, experiments, home, new, progress, time, why
from instances.views.administration import catalogues, lifetimes, overview, people, requests, roles, trail

app_name = "instances"
urlpatterns = [
    path("", home.home, name="home"),
    path("all/", home.everything, name="all"),
    path("new/", new.new, name="new"),
    path("new/grants/", new.grants, name="grants"),
    path("new/experiments/", new.picks, name="picks"),
    path("experiments/", experiments.listing, name="experiments"),
    path("experiments/<int:experiment_id>/", experiments.experiment, name="experiment"),
    path("experiments/<int:experiment_id>/why/", why.experiment, name="experiment_why"),
    path("instances/<uuid:instance_id>/", detail.detail, name="instance"),
    path("instances/<uuid:instance_id>/why/", why.instance, name="why"),
    path("instances/<uuid:instance_id>/card/", home.card, name="card"),
    path("instances/<uuid:instance_id>/thumbnail/", home.thumbnail, name="thumbnail"),
    path("instances/<uuid:instance_id>/progress/", progress.progress, name="progress"),
    path("instances/<uuid:instance_id>/progress/steps/", progress.steps, name="steps"),
    path("instances/<uuid:instance_id>/desktop/", desktop.desktop, name="desktop"),
    path("instances/<uuid:instance_id>/connections/", actions.connections, name="connections"),
    path("instances/<uuid:instance_id>/start/", actions.start, name="start"),
    path("instances/<uuid:instance_id>/stop/", actions.stop, name="stop"),
    path("instances/<uuid:instance_id>/restart/", actions.restart, name="restart"),
    path("instances/<uuid:instance_id>/delete/", actions.delete, name="delete"),
    path("instances/<uuid:instance_id>/extend/", time.extend, name="extend"),
    path("instances/<uuid:instance_id>/endings/", time.endings, name="endings"),
    path("instances/<uuid:instance_id>/time/", time.more, name="time"),
    path("instances/<uuid:instance_id>/describe/", actions.describe, name="describe"),
    path("administration/", overview.overview, name="administration"),
    path("administration/people/", people.people, name="administration_people"),
    path("administration/people/<int:person_id>/", people.person, name="administration_person"),
    path("administration/people/<int:person_id>/block/", people.block, name="administration_block"),
    path("administration/people/<int:person_id>/unblock/", people.unblock, name="administration_unblock"),
    path("administration/roles/", roles.roles, name="administration_roles"),
    path("administration/roles/grant/", roles.grant, name="administration_grant"),
    path("administration/roles/<int:grant_id>/end/", roles.end, name="administration_end"),
    path("administration/requests/", requests.requests, name="administration_requests"),
    path("administration/requests/<int:request_id>/", requests.decide, name="administration_decide"),
    path("administration/lifetimes/", lifetimes.lifetimes, name="administration_lifetimes"),
    path("administration/lifetimes/new/", lifetimes.rule, name="administration_lifetime_new"),
    path("administration/lifetimes/<int:rule_id>/", lifetimes.rule, name="administration_lifetime"),
    path("administration/lifetimes/<int:rule_id>/remove/", lifetimes.remove, name="administration_lifetime_remove"),
    path("administration/pins/<uuid:instance_id>/", lifetimes.pin, name="administration_pin"),
    path("administration/audit/", trail.audit, name="administration_audit"),
    path("administration/audit/download/", trail.download, name="administration_download"),
    path("administration/audit/chain/", trail.chain, name="administration_chain"),
    path("administration/catalogues/", catalogues.catalogues, name="administration_catalogues"),
]
