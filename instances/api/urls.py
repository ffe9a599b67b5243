from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from .administration import AuditView, RoleView
from .requests import AccessRequestViewSet
from .time import ExtensionViewSet
from .views import EnvironmentViewSet, ExperimentViewSet, FlavourView, InstanceViewSet, QuotaView

router = SimpleRouter(use_regex_path=False)
router.register("environments", EnvironmentViewSet, basename="environment")
router.register("experiments", ExperimentViewSet, basename="experiment")
router.register("instances", InstanceViewSet, basename="instance")
router.register("requests", AccessRequestViewSet, basename="access-request")
router.register("extensions", ExtensionViewSet, basename="extension")

app_name = "api"
urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("flavours/", FlavourView.as_view(), name="flavours"),
    path("quotas/", QuotaView.as_view(), name="quotas"),
    path("roles/", RoleView.as_view(), name="roles"),
    path("audit/", AuditView.as_view(), name="audit"),
    path("", include(router.urls)),
]
