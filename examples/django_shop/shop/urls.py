from django.urls import path

from . import views

urlpatterns = [
    path("orders/<str:number>", views.order),
    path("warehouse/<str:item>/take", views.take),
    path("warehouse/<str:item>/put_back", views.put_back),
]
