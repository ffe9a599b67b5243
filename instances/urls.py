"""The pages. `visa.urls` includes them at the root."""

from django.urls import path

from instances.views import actions, desktop, detail, experiments, home, new, progress, why
from instances.views.administration import catalogues, clouds, drift, overview, people, roles, trail

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
    path("instances/<uuid:instance_id>/describe/", actions.describe, name="describe"),
    path("administration/", overview.overview, name="administration"),
    path("administration/people/", people.people, name="administration_people"),
    path("administration/people/<int:person_id>/", people.person, name="administration_person"),
    path("administration/people/<int:person_id>/block/", people.block, name="administration_block"),
    path("administration/people/<int:person_id>/unblock/", people.unblock, name="administration_unblock"),
    path("administration/roles/", roles.roles, name="administration_roles"),
    path("administration/roles/grant/", roles.grant, name="administration_grant"),
    path("administration/roles/<int:grant_id>/end/", roles.end, name="administration_end"),
    path("administration/audit/", trail.audit, name="administration_audit"),
    path("administration/audit/download/", trail.download, name="administration_download"),
    path("administration/audit/chain/", trail.chain, name="administration_chain"),
    path("administration/drift/", drift.drift, name="administration_drift"),
    path("administration/drift/<uuid:instance_id>/look-again/", drift.look_again, name="administration_look_again"),
    path("administration/drift/orphans/<int:stray_id>/adopt/", drift.adopt, name="administration_adopt"),
    path("administration/drift/orphans/<int:stray_id>/delete/", drift.discard, name="administration_discard"),
    path("administration/clouds/", clouds.clouds, name="administration_clouds"),
    path("administration/clouds/<int:cloud_id>/change/", clouds.change, name="administration_change_cloud"),
    path("administration/clouds/<int:cloud_id>/gone/", clouds.gone, name="administration_gone"),
    path("administration/catalogues/", catalogues.catalogues, name="administration_catalogues"),
]
