"""Veriscan's web application: is this medical scan authentic or a deepfake?"""
